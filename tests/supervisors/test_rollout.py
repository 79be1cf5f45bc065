from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from saga.supervisors import pace, rollout, workspace
from saga.supervisors.pace import Pace
from saga.supervisors.replay import replay_plain
from saga.supervisors.rollout import banned_tokens, roll_out, sample, token_log_probs
from tests.supervisors.conftest import IMAGE_SIZE, ROLLOUT

FIRST, SECOND = torch.tensor([0, 2, 4, 1]), torch.tensor([1, 3, 5, 0])
SEEDS = [11, 12, 13, 14]


def prefix_of(checkpoint):
    size = IMAGE_SIZE[checkpoint.backbone.family]
    return checkpoint.backbone.prefix("Compare the two.", checkpoint.tower.grid(size))


def rolled(checkpoint, tokens, rows=slice(None), config=ROLLOUT, **options):
    return roll_out(
        checkpoint.backbone,
        prefix_of(checkpoint),
        tokens.index(FIRST[rows]),
        tokens.index(SECOND[rows]),
        config,
        SEEDS[rows],
        **options,
    )


def test_the_prefix_equals_what_the_whole_model_sees(checkpoint, image_tokens):
    backbone, prefix = checkpoint.backbone, prefix_of(checkpoint)
    embeds, visual = backbone.embed_pairs(prefix, image_tokens.index([0]), image_tokens.index([1]))
    ours = backbone.hidden(embeds, prefix.positions_RS[:, None], visual=visual)
    size = IMAGE_SIZE[backbone.family]
    pixels = torch.rand(6, 3, size, size, generator=torch.Generator().manual_seed(1))[:2] * 2 - 1
    whole = whole_model_hidden(backbone, prefix, pixels)
    torch.testing.assert_close(ours, whole, atol=1e-4, rtol=1e-4)


def whole_model_hidden(backbone, prefix, pixels):
    """The unmodified transformers model on ids and pixels."""
    if backbone.family == "internvl":
        return backbone.model.model(
            input_ids=prefix.ids_S[None], pixel_values=pixels
        ).last_hidden_state
    patches, grid = qwen_patches(backbone.config.vision_config, pixels)
    return backbone.model.model(
        input_ids=prefix.ids_S[None],
        pixel_values=patches,
        image_grid_thw=grid,
        mm_token_type_ids=(prefix.ids_S == backbone.image_token_id).int()[None],
    ).last_hidden_state


def qwen_patches(vision, pixels):
    """Flattened patches and grid as Qwen3-VL's own processor lays them out."""
    p, m, t = vision.patch_size, vision.spatial_merge_size, vision.temporal_patch_size
    B, C, H, W = pixels.shape
    h, w = H // p, W // p
    patches = pixels.reshape(B, C, h // m, m, p, w // m, m, p).permute(0, 2, 5, 3, 6, 1, 4, 7)
    patches = patches.unsqueeze(6).expand(-1, -1, -1, -1, -1, -1, t, -1, -1)
    return patches.reshape(B * h * w, -1), torch.tensor([[1, h, w]] * B)


def test_a_pairs_completions_do_not_depend_on_the_other_pairs(checkpoint, image_tokens):
    together = rolled(checkpoint, image_tokens)
    for p in range(4):
        alone = rolled(checkpoint, image_tokens, slice(p, p + 1))
        T = alone.tokens_PGT.shape[2]
        assert torch.equal(alone.lengths_PG[0], together.lengths_PG[p])
        assert torch.equal(alone.tokens_PGT[0], together.tokens_PGT[p, :, :T])


def test_completions_equal_a_plain_loop_without_cache(checkpoint, image_tokens):
    """Each token again from a full forward, same uniform numbers."""
    backbone, prefix = checkpoint.backbone, prefix_of(checkpoint)
    result = rolled(checkpoint, image_tokens)
    uniform = torch.rand(
        ROLLOUT.group_size,
        ROLLOUT.max_new_tokens,
        generator=torch.Generator().manual_seed(SEEDS[1]),
    )
    embeds0, visual = backbone.embed_pairs(
        prefix, image_tokens.index(FIRST[1:2]), image_tokens.index(SECOND[1:2])
    )
    for g in range(ROLLOUT.group_size):
        tokens: list[int] = []
        while len(tokens) < ROLLOUT.max_new_tokens:
            ids = torch.tensor([tokens], dtype=torch.long)
            embeds = torch.cat([embeds0, backbone.embed(ids)], 1)
            follow = prefix.next_position + torch.arange(len(tokens))
            rows = prefix.positions_RS.shape[0]
            positions = torch.cat([prefix.positions_RS, follow.expand(rows, -1)], 1)
            hidden = backbone.hidden(
                embeds, positions[:, None], visual=extended(visual, len(tokens))
            )
            logp = token_log_probs(backbone, hidden[:, -1], ROLLOUT.temperature)
            token = int(sample(logp, uniform[g : g + 1, len(tokens)], ROLLOUT.top_p))
            tokens.append(token)
            if token in backbone.end_token_ids:
                break
        assert result.tokens_PGT[1, g, : len(tokens)].tolist() == tokens
        assert int(result.lengths_PG[1, g]) == len(tokens)


def extended(visual, more):
    if visual is None:
        return None
    blank = torch.zeros(visual.mask_PS.shape[0], more, dtype=torch.bool)
    return type(visual)(torch.cat([visual.mask_PS, blank], 1), visual.levels)


def test_image_tokens_are_never_sampled(checkpoint, image_tokens):
    banned = banned_tokens(checkpoint.backbone)
    assert checkpoint.backbone.image_token_id in banned
    hidden = torch.randn(5, image_tokens.tokens_BND.shape[-1])
    logp = token_log_probs(checkpoint.backbone, hidden, 0.7)
    assert torch.isneginf(logp[:, banned]).all()
    torch.testing.assert_close(logp.exp().sum(-1), torch.ones(5))
    assert not torch.isin(rolled(checkpoint, image_tokens).tokens_PGT, torch.tensor(banned)).any()


def test_sampling_follows_the_nucleus_distribution():
    logp = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    u = (torch.arange(10000) + 0.5) / 10000
    drawn = sample(logp.expand(10000, -1), u, 0.9)
    shares = torch.bincount(drawn, minlength=4) / 10000
    expected = torch.tensor([0.5, 0.3, 0.15, 0.0]) / 0.95
    torch.testing.assert_close(shares, expected, atol=2e-3, rtol=0)


def test_a_nucleus_smaller_than_the_first_token_is_greedy():
    logp = torch.tensor([[0.2, 0.7, 0.1]]).log()
    assert sample(logp, torch.tensor([0.999]), 0.01).tolist() == [1]


def test_one_seed_per_pair_is_needed(checkpoint, image_tokens):
    with pytest.raises(ValueError, match="4 pairs, 1 seeds"):
        roll_out(
            checkpoint.backbone,
            prefix_of(checkpoint),
            image_tokens.index(FIRST),
            image_tokens.index(SECOND),
            ROLLOUT,
            [1],
        )


@pytest.mark.parametrize(
    "other",
    [
        Pace(check_every=5, room_step=1, halving=False, kept=False),
        Pace(check_every=1, room_step=4, halving=False, kept=False),
        Pace(check_every=100, room_step=100, halving=False, kept=False),  # never looks, no growth
        Pace(check_every=2, room_step=3, halving=True, kept=False),
        Pace(check_every=4, room_step=8, halving=True, kept=True),
    ],
)
def test_completions_do_not_depend_on_the_pace(checkpoint, image_tokens, other):
    """Looks, room, compaction, buffers that stay: the same tokens."""
    workspace.forget(checkpoint.backbone)
    assert_same(rolled(checkpoint, image_tokens, pace=other), rolled(checkpoint, image_tokens))


def test_completions_do_not_depend_on_compaction_or_growth(checkpoint, image_tokens, monkeypatch):
    lazy = Pace(check_every=1, room_step=1, halving=False, kept=False)
    expected = rolled(checkpoint, image_tokens, pace=lazy)
    monkeypatch.setattr(pace, "COMPACT_SHARE", 0.0)
    monkeypatch.setattr(workspace, "ROOM", 1)
    assert_same(rolled(checkpoint, image_tokens, pace=lazy), expected)
    monkeypatch.setattr(pace, "COMPACT_SHARE", 2.0)
    assert_same(rolled(checkpoint, image_tokens, pace=lazy), expected)


def test_completions_do_not_depend_on_how_many_prompts_are_prefilled_at_once(
    checkpoint, image_tokens, monkeypatch
):
    expected = rolled(checkpoint, image_tokens)
    for tokens in (1, 3 * len(prefix_of(checkpoint))):
        monkeypatch.setitem(rollout.PREFILL_TOKENS, "cpu", tokens)
        assert_same(rolled(checkpoint, image_tokens), expected)


def assert_same(found, expected):
    assert torch.equal(found.tokens_PGT, expected.tokens_PGT)
    assert torch.equal(found.lengths_PG, expected.lengths_PG)
    assert torch.equal(found.ended_PG, expected.ended_PG)
    torch.testing.assert_close(found.logp_PGT, expected.logp_PGT, atol=1e-5, rtol=0)


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
def test_log_probs_under_autocast_are_those_of_the_replay_under_it(
    checkpoint, image_tokens, stored
):
    """With weights that autocast casts, and with weights of its type."""
    model = deepcopy(checkpoint.backbone.model).to(stored)
    cast = replace(
        checkpoint, backbone=type(checkpoint.backbone)(model, checkpoint.backbone.tokenizer)
    )
    first, second = image_tokens.index(FIRST), image_tokens.index(SECOND)
    prefix = prefix_of(cast)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        found = rolled(cast, image_tokens, pace=Pace(4, 8, halving=True, kept=False))
        replayed = replay_plain(cast.backbone, prefix, first, second, found, ROLLOUT.temperature)
    assert found.logp_PGT.dtype == torch.float32
    torch.testing.assert_close(found.logp_PGT, replayed, atol=0.1, rtol=0)


@pytest.mark.parametrize("check_every", [1, 7])
def test_forced_lengths_are_reached_and_not_passed(checkpoint, image_tokens, check_every):
    lengths = torch.tensor([[1, 12, 5], [2, 3, 4], [12, 12, 12], [7, 1, 9]])
    forced = rolled(
        checkpoint,
        image_tokens,
        pace=Pace(check_every=check_every, room_step=4, halving=True, kept=False),
        forced_lengths_PG=lengths,
    )
    assert torch.equal(forced.lengths_PG, lengths) and forced.ended_PG.all()
    is_end = torch.isin(forced.tokens_PGT, torch.tensor(checkpoint.backbone.end_token_ids))
    inside = torch.arange(12) < lengths[..., None]
    assert torch.equal((is_end & inside).sum(-1), torch.ones_like(lengths))
    assert is_end.gather(2, lengths[..., None] - 1).all()


def test_log_probs_of_forced_lengths_are_the_models_own(checkpoint, image_tokens):
    lengths = torch.full((4, ROLLOUT.group_size), 6)
    forced = rolled(checkpoint, image_tokens, forced_lengths_PG=lengths)
    replayed = replay_plain(
        checkpoint.backbone,
        prefix_of(checkpoint),
        image_tokens.index(FIRST),
        image_tokens.index(SECOND),
        forced,
        ROLLOUT.temperature,
    )
    torch.testing.assert_close(forced.logp_PGT, replayed, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        (torch.ones(4, 2), r"\(4, 3\), got \(4, 2\)"),
        (torch.full((4, 3), 13), r"1 to max_new_tokens \(12\), got 13 to 13"),
        (torch.zeros(4, 3), "got 0 to 0"),
    ],
)
def test_impossible_forced_lengths_are_refused(checkpoint, image_tokens, lengths, message):
    with pytest.raises(ValueError, match=message):
        rolled(checkpoint, image_tokens, forced_lengths_PG=lengths)


def test_graphs_need_a_gpu(checkpoint, image_tokens):
    with pytest.raises(ValueError, match="on cpu"):
        rolled(checkpoint, image_tokens, graphs=True)


def test_nothing_of_a_call_gone_wrong_is_left_in_buffers_that_stay(checkpoint, image_tokens):
    stays = Pace(check_every=4, room_step=8, halving=True, kept=True)
    workspace.forget(checkpoint.backbone)
    expected = rolled(checkpoint, image_tokens, pace=stays)
    wrong = replace(image_tokens, tokens_BND=image_tokens.tokens_BND * torch.nan)
    rolled(checkpoint, wrong, pace=stays)
    assert_same(rolled(checkpoint, image_tokens, pace=stays), expected)
