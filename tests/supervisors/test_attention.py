import pytest
import torch

import saga.supervisors.attention as attention_module
from saga.supervisors.attention import AttentionQueries, attention_maps
from saga.supervisors.replay import replay_packed
from tests.supervisors.conftest import ROLLOUT
from tests.supervisors.test_replay import SOME, completions_of_lengths
from tests.supervisors.test_rollout import FIRST, SECOND, prefix_of

LAYER = 1
LENGTHS = [[3, 9, 4], [2, 1, 1], [5, 2, 30], [4, 4, 7]]


def captured(checkpoint, tokens, use_PG=None):
    completions = completions_of_lengths(LENGTHS)
    replay = replay_packed(
        checkpoint.backbone,
        prefix_of(checkpoint),
        tokens.index(FIRST),
        tokens.index(SECOND),
        completions,
        ROLLOUT.temperature,
        capture_layer=LAYER,
        use_PG=use_PG,
    )
    return completions, replay.capture


ASKED = torch.tensor(
    [  # pair, completion, token, second image; in any order, as many of a pair as there are
        (2, 2, 28, 0),
        (0, 0, 0, 0),
        (3, 2, 1, 0),
        (2, 2, 1, 1),
        (0, 2, 2, 1),
        (3, 1, 2, 1),
        (2, 1, 0, 1),
    ]
)


def asked(rows=slice(None)):
    pair, completion, token, second = ASKED[rows].T
    return AttentionQueries(pair, completion, token, second.bool())


@pytest.mark.parametrize("query_at", ["predicting", "value"])
def test_maps_equal_the_eager_attention_of_separate_sequences(checkpoint, image_tokens, query_at):
    """Against output_attentions of the unpacked sequence."""
    backbone, prefix = checkpoint.backbone, prefix_of(checkpoint)
    completions, capture = captured(checkpoint, image_tokens)
    maps = attention_maps(backbone, prefix, LAYER, capture, asked(), query_at)
    for ours, (p, g, t, second) in zip(maps, ASKED.tolist(), strict=True):
        weights = eager_weights(backbone, prefix, image_tokens, completions, p, g)
        slots = prefix.slots_b_N if second else prefix.slots_a_N
        expected = weights[len(prefix) + t - (query_at == "predicting"), slots]
        torch.testing.assert_close(ours, expected / expected.sum(), atol=1e-5, rtol=1e-3)


def test_maps_of_a_replay_of_some_completions_are_those_of_all(checkpoint, image_tokens):
    some = asked(slice(1, 3))
    assert SOME[some.pair, some.completion].all()
    (_, all_of_them), (_, few) = (captured(checkpoint, image_tokens, use) for use in (None, SOME))
    given = checkpoint.backbone, prefix_of(checkpoint), LAYER
    torch.testing.assert_close(
        attention_maps(*given, few, some), attention_maps(*given, all_of_them, some)
    )


def test_pairs_in_portions_change_nothing(checkpoint, image_tokens, monkeypatch):
    _, capture = captured(checkpoint, image_tokens)
    given = checkpoint.backbone, prefix_of(checkpoint), LAYER, capture, asked()
    whole = attention_maps(*given)
    monkeypatch.setattr(attention_module, "SCORES_BUDGET", 1)
    torch.testing.assert_close(attention_maps(*given), whole)


def eager_weights(backbone, prefix, tokens, completions, p, g):
    """Head-averaged attention (S, S) of the layer, by transformers' own eager attention."""
    pair = torch.tensor([p])
    embeds, visual = backbone.embed_pairs(
        prefix, tokens.index(FIRST[pair]), tokens.index(SECOND[pair])
    )
    fed = completions.tokens_PGT[p, g, : completions.lengths_PG[p, g] - 1]
    embeds = torch.cat([embeds, backbone.embed(fed[None])], 1)
    follow = prefix.next_position + torch.arange(len(fed))
    rows = prefix.positions_RS.shape[0]
    positions = torch.cat([prefix.positions_RS, follow.expand(rows, -1)], 1)[:, None]
    kept = {}
    attention = backbone.language.layers[LAYER].self_attn
    hook = attention.register_forward_hook(lambda module, args, out: kept.update(weights=out[1]))
    before = attention.config._attn_implementation
    attention.config._attn_implementation = "eager"
    try:
        if visual is not None:
            blank = torch.zeros(1, len(fed), dtype=torch.bool)
            visual = type(visual)(torch.cat([visual.mask_PS, blank], 1), visual.levels)
        backbone.hidden(embeds, positions, visual=visual)
    finally:
        hook.remove()
        attention.config._attn_implementation = before
    return kept["weights"][0].mean(0)


def test_maps_are_distributions_over_one_image(checkpoint, image_tokens):
    _, capture = captured(checkpoint, image_tokens)
    prefix = prefix_of(checkpoint)
    for place in ("predicting", "value"):
        maps = attention_maps(checkpoint.backbone, prefix, LAYER, capture, asked(), place)
        assert maps.shape == (len(ASKED), len(prefix.slots_a_N))
        torch.testing.assert_close(maps.sum(1), torch.ones(len(ASKED)))
        assert not maps.requires_grad


def test_maps_are_in_float32_whatever_the_autocast(checkpoint, image_tokens):
    """The replay runs under bfloat16 in the paper's settings; only its layer inputs are rounded."""
    backbone, prefix = checkpoint.backbone, prefix_of(checkpoint)
    completions = completions_of_lengths(LENGTHS)
    maps = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            replay = replay_packed(
                backbone,
                prefix,
                image_tokens.index(FIRST),
                image_tokens.index(SECOND),
                completions,
                ROLLOUT.temperature,
                capture_layer=LAYER,
            )
            maps.append(attention_maps(backbone, prefix, LAYER, replay.capture, asked()))
    assert maps[1].dtype == torch.float32
    torch.testing.assert_close(maps[1].sum(1), torch.ones(len(ASKED)))
    torch.testing.assert_close(maps[1], maps[0], atol=0.02, rtol=0.2)
