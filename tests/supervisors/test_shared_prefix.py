"""Groups that share their prompt's keys and values decode as with a cache of their own."""

import pytest
import torch
from transformers import DynamicCache

from saga.supervisors.shared_prefix import NAME, ROOM, SharedPrefixCache
from tests.supervisors.test_rollout import prefix_of

GROUP, STEPS = 3, ROOM + 5


def prompts(checkpoint, image_tokens):
    backbone, prefix = checkpoint.backbone, prefix_of(checkpoint)
    embeds, visual = backbone.embed_pairs(
        prefix, image_tokens.index([0, 2]), image_tokens.index([1, 3])
    )
    return backbone, prefix, embeds, visual


def step(backbone, prefix, ids_R, t, cache):
    position = torch.full((prefix.positions_RS.shape[0], len(ids_R), 1), prefix.next_position + t)
    return backbone.hidden(backbone.embed(ids_R[:, None]), position, cache=cache)[:, -1]


def decoded(backbone, prefix, ids, cache, keep):
    """Hidden states of every step; the second row that is left goes at two of them."""
    rows, found = torch.arange(len(ids)), []
    for t in range(STEPS):
        if t in (4, ROOM + 2):
            kept = torch.tensor([i for i in range(len(rows)) if i != 1])
            rows = rows[kept]
            keep(kept)
        found.append(step(backbone, prefix, ids[rows, t], t, cache))
    return found


@torch.no_grad()
def test_hidden_states_are_those_of_copied_prompts(checkpoint, image_tokens):
    """Beyond the first room, and after rows have left from the middle of a group, twice."""
    backbone, prefix, embeds, visual = prompts(checkpoint, image_tokens)
    positions = prefix.positions_RS[:, None].expand(-1, 2, -1)
    plain = DynamicCache(config=backbone.config.text_config)
    backbone.hidden(embeds, positions, cache=plain, visual=visual)
    plain.batch_repeat_interleave(GROUP)
    ours = SharedPrefixCache(backbone.depth)
    backbone.hidden(embeds, positions, cache=ours, visual=visual)
    ids = torch.randint(5, 40, (2 * GROUP, STEPS), generator=torch.Generator().manual_seed(0))
    expected = decoded(backbone, prefix, ids, plain, plain.batch_select_indices)
    with ours.shared(backbone.language.config, GROUP):
        found = decoded(backbone, prefix, ids, ours, ours.keep)
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
    assert ours.get_seq_length() == plain.get_seq_length()


@torch.no_grad()
def test_prompts_are_kept_once(checkpoint, image_tokens):
    backbone, prefix, embeds, visual = prompts(checkpoint, image_tokens)
    positions = prefix.positions_RS[:, None].expand(-1, 2, -1)
    cache = SharedPrefixCache(backbone.depth)
    backbone.hidden(embeds, positions, cache=cache, visual=visual)
    with cache.shared(backbone.language.config, GROUP):
        step(backbone, prefix, torch.full((2 * GROUP,), 7), 0, cache)
    for layer in cache.shares:
        assert layer.prefix[0].shape[0] == 2 and layer.prefix[0].shape[2] == len(prefix)
        assert layer.keys.shape[0] == 2 * GROUP and layer.keys.shape[2] == ROOM


@torch.no_grad()
def test_the_models_own_attention_comes_back_whatever_happens(checkpoint, image_tokens):
    backbone, prefix, embeds, visual = prompts(checkpoint, image_tokens)
    positions = prefix.positions_RS[:, None].expand(-1, 2, -1)
    before = backbone.language.config._attn_implementation
    cache = SharedPrefixCache(backbone.depth)
    backbone.hidden(embeds, positions, cache=cache, visual=visual)
    with pytest.raises(KeyError), cache.shared(backbone.language.config, GROUP):
        assert backbone.language.config._attn_implementation == NAME
        raise KeyError
    assert backbone.language.config._attn_implementation == before
