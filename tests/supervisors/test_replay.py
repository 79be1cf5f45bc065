import pytest
import torch

import saga.supervisors.replay as replay_module
from saga.encoders.tower import VisionTokens
from saga.supervisors.replay import packed_mask, replay_packed, replay_plain
from tests.supervisors.conftest import ROLLOUT
from tests.supervisors.test_rollout import FIRST, SECOND, prefix_of, rolled


def leaves(tokens):
    leaf = VisionTokens(
        tokens.tokens_BND.clone().requires_grad_(),
        tuple(level.clone().requires_grad_() for level in tokens.deepstack),
    )
    return leaf, [leaf.tokens_BND, *leaf.deepstack]


def scored(function, checkpoint, tokens, completions):
    leaf, tensors = leaves(tokens)
    out = function(
        checkpoint.backbone,
        prefix_of(checkpoint),
        leaf.index(FIRST),
        leaf.index(SECOND),
        completions,
        ROLLOUT.temperature,
    )
    logp = out if isinstance(out, torch.Tensor) else out.logp_PGT
    weight = torch.randn(logp.shape, generator=torch.Generator().manual_seed(3))
    return logp.detach(), torch.autograd.grad((logp * weight).sum(), tensors)


def test_a_packed_group_gives_the_log_probs_and_gradients_of_separate_sequences(
    checkpoint, image_tokens
):
    completions = rolled(checkpoint, image_tokens)
    packed, packed_grads = scored(replay_packed, checkpoint, image_tokens, completions)
    plain, plain_grads = scored(replay_plain, checkpoint, image_tokens, completions)
    torch.testing.assert_close(packed, plain, atol=1e-5, rtol=1e-5)
    for a, b in zip(packed_grads, plain_grads, strict=True):
        assert b.abs().max() > 0
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-3)


def test_replayed_log_probs_are_those_of_the_rollout(checkpoint, image_tokens):
    completions = rolled(checkpoint, image_tokens)
    packed, _ = scored(replay_packed, checkpoint, image_tokens, completions)
    torch.testing.assert_close(packed, completions.logp_PGT, atol=1e-4, rtol=1e-4)


def test_chunked_logits_change_nothing(checkpoint, image_tokens, monkeypatch):
    completions = rolled(checkpoint, image_tokens)
    whole, whole_grads = scored(replay_packed, checkpoint, image_tokens, completions)
    monkeypatch.setattr(replay_module, "LOGITS_BUDGET", 1)
    chunked, chunked_grads = scored(replay_packed, checkpoint, image_tokens, completions)
    torch.testing.assert_close(chunked, whole, atol=1e-6, rtol=1e-6)
    for a, b in zip(chunked_grads, whole_grads, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)


def test_deepstack_levels_get_a_gradient(checkpoint, image_tokens):
    if not image_tokens.deepstack:
        pytest.skip("InternVL has no deepstack features")
    _, grads = scored(replay_packed, checkpoint, image_tokens, rolled(checkpoint, image_tokens))
    assert len(grads) > 1 and all(g.abs().sum() > 0 for g in grads)


def test_completions_are_blind_to_each_other():
    mask = packed_mask(2, 2, 3, torch.device("cpu"))
    assert mask.shape == (8, 8)
    assert not mask[5:, 2:5].any() and not mask[2:5, 5:].any()
    assert mask[2:, :2].all() and mask[7, 5:].all() and not mask[5, 6]
