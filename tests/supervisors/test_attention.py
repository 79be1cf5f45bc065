import torch

from saga.supervisors.attention import AttentionQueries, attention_maps
from saga.supervisors.replay import replay_packed
from tests.supervisors.conftest import ROLLOUT
from tests.supervisors.test_rollout import FIRST, SECOND, prefix_of, rolled

LAYER = 1


def captured(checkpoint, tokens):
    completions = rolled(checkpoint, tokens)
    replay = replay_packed(
        checkpoint.backbone,
        prefix_of(checkpoint),
        tokens.index(FIRST),
        tokens.index(SECOND),
        completions,
        ROLLOUT.temperature,
        capture_layer=LAYER,
    )
    return completions, replay.capture


def test_maps_equal_the_eager_attention_of_separate_sequences(checkpoint, image_tokens):
    """Against output_attentions of the unpacked sequence, query at the predicting position."""
    backbone, prefix = checkpoint.backbone, prefix_of(checkpoint)
    completions, capture = captured(checkpoint, image_tokens)
    for p, g, t, second in ((0, 0, 0, False), (2, 1, 1, True), (3, 2, 1, False)):
        queries = AttentionQueries(*(torch.tensor([v]) for v in (p, g, t)), torch.tensor([second]))
        ours = attention_maps(backbone, prefix, LAYER, capture, queries)[0]
        weights = eager_weights(backbone, prefix, image_tokens, completions, p, g)
        slots = prefix.slots_b_N if second else prefix.slots_a_N
        expected = weights[len(prefix) - 1 + t, slots]
        torch.testing.assert_close(ours, expected / expected.sum(), atol=1e-5, rtol=1e-3)


def eager_weights(backbone, prefix, tokens, completions, p, g):
    """Head-averaged attention (S, S) of the layer, by transformers' own eager attention."""
    pair = torch.tensor([p])
    embeds, visual = backbone.embed_pairs(
        prefix, tokens.index(FIRST[pair]), tokens.index(SECOND[pair])
    )
    fed = completions.tokens_PGT[p, g, :-1]
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
    queries = AttentionQueries(
        torch.tensor([0, 1]),
        torch.tensor([0, 2]),
        torch.tensor([1, 0]),
        torch.tensor([True, False]),
    )
    for place in ("predicting", "value"):
        maps = attention_maps(checkpoint.backbone, prefix, LAYER, capture, queries, place)
        assert maps.shape == (2, len(prefix.slots_a_N))
        torch.testing.assert_close(maps.sum(1), torch.ones(2))
        assert not maps.requires_grad


def test_maps_are_in_float32_whatever_the_autocast(checkpoint, image_tokens):
    """The replay runs under bfloat16 in the paper's settings; only its layer inputs are rounded."""
    backbone, prefix = checkpoint.backbone, prefix_of(checkpoint)
    completions = rolled(checkpoint, image_tokens)
    queries = AttentionQueries(
        *(torch.tensor([0, 1]) for _ in range(3)), torch.tensor([True, False])
    )
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
            maps.append(attention_maps(backbone, prefix, LAYER, replay.capture, queries))
    assert maps[1].dtype == torch.float32
    torch.testing.assert_close(maps[1].sum(1), torch.ones(2))
    torch.testing.assert_close(maps[1], maps[0], atol=0.02, rtol=0.2)
