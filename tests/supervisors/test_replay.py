from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import saga.supervisors.replay as replay_module
from saga.encoders.tower import VisionTokens
from saga.supervisors.replay import look_packed, replay_packed, replay_plain
from saga.supervisors.rollout import Completions
from tests.supervisors.conftest import ROLLOUT
from tests.supervisors.test_rollout import FIRST, SECOND, prefix_of, rolled

LENGTHS = {
    "ragged": [[1, 5, 3], [2, 1, 1], [4, 40, 2], [1, 1, 1]],
    "even": [[6, 6, 6]] * 4,
    "one token": [[1, 1, 1]] * 4,
    "no group": [[3], [9], [1], [4]],
}
SOME = torch.tensor([[True, False, True], [False] * 3, [False, True, False], [True] * 3])


def completions_of_lengths(lengths, T=None):
    """Random tokens; the padding holds others, which must not matter."""
    lengths = torch.tensor(lengths)
    shape = (*lengths.shape, T or int(lengths.max()))
    tokens = torch.randint(5, 200, shape, generator=torch.Generator().manual_seed(9))
    return Completions(tokens, lengths, torch.ones_like(lengths).bool(), torch.zeros(shape))


def leaves(tokens):
    leaf = VisionTokens(
        tokens.tokens_BND.clone().requires_grad_(),
        tuple(level.clone().requires_grad_() for level in tokens.deepstack),
    )
    return leaf, [leaf.tokens_BND, *leaf.deepstack]


def scored(function, checkpoint, tokens, completions, used_PG=None, **options):
    leaf, tensors = leaves(tokens)
    out = function(
        checkpoint.backbone,
        prefix_of(checkpoint),
        leaf.index(FIRST),
        leaf.index(SECOND),
        completions,
        ROLLOUT.temperature,
        **options,
    )
    logp = out if isinstance(out, torch.Tensor) else out.logp_PGT
    weight = torch.randn(logp.shape, generator=torch.Generator().manual_seed(3))
    if used_PG is not None:
        logp = logp * used_PG[..., None]
    return logp.detach(), torch.autograd.grad((logp * weight).sum(), tensors)


def same(ours, theirs, atol=1e-5, rtol=1e-3):
    (logp, gradients), (expected, expected_gradients) = ours, theirs
    torch.testing.assert_close(logp, expected, atol=atol, rtol=atol)
    for a, b in zip(gradients, expected_gradients, strict=True):
        assert b.abs().max() > 0
        torch.testing.assert_close(a, b, atol=atol, rtol=rtol)


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_packed_groups_give_the_log_probs_and_gradients_of_separate_sequences(
    checkpoint, image_tokens, lengths
):
    completions = completions_of_lengths(lengths)
    packed = scored(replay_packed, checkpoint, image_tokens, completions)
    same(packed, scored(replay_plain, checkpoint, image_tokens, completions))


def test_packed_groups_equal_separate_sequences_in_bfloat16_up_to_its_rounding(
    checkpoint, image_tokens
):
    completions = completions_of_lengths(LENGTHS["ragged"])
    exact, exact_gradients = scored(replay_plain, checkpoint, image_tokens, completions)
    errors = []
    for function in (replay_packed, replay_plain):
        with torch.autocast("cpu", torch.bfloat16):
            logp, gradients = scored(function, checkpoint, image_tokens, completions)
        pairs = zip([logp, *gradients], [exact, *exact_gradients], strict=True)
        errors.append([float((a - b).norm() / b.norm()) for a, b in pairs])
    for packed, plain in zip(*errors):
        assert packed < 1.5 * plain < 0.2


def test_completions_left_out_score_nothing_and_teach_nothing(checkpoint, image_tokens):
    """One of the pairs uses none."""
    completions = completions_of_lengths(LENGTHS["ragged"])
    packed = scored(replay_packed, checkpoint, image_tokens, completions, use_PG=SOME)
    same(packed, scored(replay_plain, checkpoint, image_tokens, completions, SOME))
    assert (packed[0][~SOME] == 0).all()


def test_nothing_to_replay_has_a_gradient_of_zero(checkpoint, image_tokens):
    completions = completions_of_lengths(LENGTHS["ragged"])
    none = torch.zeros_like(SOME)
    logp, gradients = scored(replay_packed, checkpoint, image_tokens, completions, use_PG=none)
    assert (logp == 0).all() and all((g == 0).all() for g in gradients)


def test_replayed_log_probs_are_those_of_the_rollout(checkpoint, image_tokens):
    completions = rolled(checkpoint, image_tokens)
    packed, _ = scored(replay_packed, checkpoint, image_tokens, completions)
    torch.testing.assert_close(packed, completions.logp_PGT, atol=1e-4, rtol=1e-4)


def test_chunked_logits_change_nothing(checkpoint, image_tokens, monkeypatch):
    completions = completions_of_lengths(LENGTHS["ragged"])
    whole = scored(replay_packed, checkpoint, image_tokens, completions)
    monkeypatch.setattr(replay_module, "LOGITS_BUDGET", 1)
    same(scored(replay_packed, checkpoint, image_tokens, completions), whole, 1e-6, 1e-4)


@pytest.mark.parametrize("autocast", [False, True])
def test_layers_that_run_again_in_the_backward_change_nothing(
    checkpoint, image_tokens, monkeypatch, autocast
):
    completions = completions_of_lengths(LENGTHS["ragged"])
    runs, layers = [], checkpoint.backbone.language.layers
    handles = [layer.mlp.register_forward_pre_hook(lambda *_: runs.append(1)) for layer in layers]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        once = scored(replay_packed, checkpoint, image_tokens, completions)
        assert len(runs) == len(layers)
        monkeypatch.setattr(replay_module, "HIDDEN_BUDGET", 0)
        # As on a GPU, where the backward has a thread of its own.
        with ThreadPoolExecutor(1) as thread:
            monkeypatch.setattr(
                torch.autograd,
                "grad",
                lambda *x, f=torch.autograd.grad: thread.submit(f, *x).result(),
            )
            again = scored(replay_packed, checkpoint, image_tokens, completions)
    assert len(runs) == 3 * len(layers)
    for handle in handles:
        handle.remove()
    same(again, once, 1e-6, 1e-4)
    assert not any("forward" in vars(layer) for layer in layers)


def test_deepstack_levels_get_a_gradient(checkpoint, image_tokens):
    if not image_tokens.deepstack:
        pytest.skip("InternVL has no deepstack features")
    completions = completions_of_lengths(LENGTHS["ragged"])
    _, grads = scored(replay_packed, checkpoint, image_tokens, completions)
    assert len(grads) > 1 and all(g.abs().sum() > 0 for g in grads)


def test_nothing_frozen_gets_a_gradient(checkpoint, image_tokens):
    leaf, (tokens, *_) = leaves(image_tokens)
    replay = replay_packed(
        checkpoint.backbone,
        prefix_of(checkpoint),
        leaf.index(FIRST),
        leaf.index(SECOND),
        completions_of_lengths(LENGTHS["ragged"]),
        1.0,
    )
    replay.logp_PGT.sum().backward()
    assert tokens.grad is not None
    frozen = [
        *checkpoint.backbone.language.parameters(),
        *checkpoint.backbone.model.lm_head.parameters(),
    ]
    assert all(parameter.grad is None for parameter in frozen)


@pytest.mark.parametrize("budget", [replay_module.HIDDEN_BUDGET, 0])
def test_a_look_sees_what_the_replay_captures_and_runs_no_layer_behind_it(
    checkpoint, image_tokens, monkeypatch, budget
):
    monkeypatch.setattr(replay_module, "HIDDEN_BUDGET", budget)
    given = (
        checkpoint.backbone,
        prefix_of(checkpoint),
        image_tokens.index(FIRST),
        image_tokens.index(SECOND),
        completions_of_lengths(LENGTHS["ragged"]),
    )
    layers, runs = checkpoint.backbone.language.layers, []
    for layer in range(len(layers)):
        whole = replay_packed(*given, 1.0, layer, SOME).capture
        handles = [decoder.register_forward_hook(lambda *_: runs.append(1)) for decoder in layers]
        look = look_packed(*given, layer, SOME)
        for handle in handles:
            handle.remove()
        assert len(runs) == layer
        runs.clear()
        torch.testing.assert_close(look.hidden_PSD, whole.hidden_PSD)
        for ours, theirs in zip(look.rotary, whole.rotary, strict=True):
            assert ours.equal(theirs)
        assert checkpoint.backbone.language.layers is layers
