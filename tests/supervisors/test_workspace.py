"""Buffers that stay from call to call: used again where they fit, and gone with their model."""

import gc
import weakref
from dataclasses import replace

import torch

from saga.supervisors import workspace
from saga.supervisors.pace import BUCKETS
from tests.supervisors.conftest import ROLLOUT
from tests.supervisors.test_rollout import rolled

KEPT = replace(BUCKETS, room_step=4, check_every=2)


def held(checkpoint):
    return workspace._KEPT.get(checkpoint.backbone)


def test_fewer_pairs_are_decoded_in_the_same_buffers(checkpoint, image_tokens):
    workspace.forget(checkpoint.backbone)
    rolled(checkpoint, image_tokens, pace=KEPT)
    first = held(checkpoint)
    for rows in (slice(1, 4), slice(0, 4), slice(2, 4)):
        found = rolled(checkpoint, image_tokens, rows, pace=KEPT)
        plain = rolled(checkpoint, image_tokens, rows)
        assert held(checkpoint) is first
        assert torch.equal(found.tokens_PGT, plain.tokens_PGT)
        assert torch.equal(found.lengths_PG, plain.lengths_PG)
        torch.testing.assert_close(found.logp_PGT, plain.logp_PGT, atol=1e-5, rtol=0)


def test_other_shapes_get_buffers_of_their_own(checkpoint, image_tokens):
    workspace.forget(checkpoint.backbone)
    rolled(checkpoint, image_tokens, pace=KEPT)
    seen = [held(checkpoint)]
    rolled(checkpoint, image_tokens, slice(0, 1), pace=KEPT)  # a quarter: too much would be idle
    seen.append(held(checkpoint))
    rolled(checkpoint, image_tokens, config=replace(ROLLOUT, top_p=0.5), pace=KEPT)
    seen.append(held(checkpoint))
    rolled(checkpoint, image_tokens, config=replace(ROLLOUT, max_new_tokens=5), pace=KEPT)
    seen.append(held(checkpoint))
    assert len({id(x) for x in seen}) == 4


def test_the_exact_pace_keeps_nothing(checkpoint, image_tokens):
    workspace.forget(checkpoint.backbone)
    rolled(checkpoint, image_tokens)
    assert held(checkpoint) is None


def test_forgetting_frees_the_buffers(checkpoint, image_tokens):
    rolled(checkpoint, image_tokens, pace=KEPT)
    buffer = weakref.ref(held(checkpoint).generation.memory)
    workspace.forget(checkpoint.backbone)
    gc.collect()
    assert buffer() is None


def test_what_is_kept_does_not_keep_the_model(checkpoint, image_tokens):
    backbone = type(checkpoint.backbone)(checkpoint.backbone.model, checkpoint.backbone.tokenizer)
    rolled(replace(checkpoint, backbone=backbone), image_tokens, pace=KEPT)
    assert backbone in workspace._KEPT
    gone = weakref.ref(backbone)
    del backbone
    gc.collect()
    assert gone() is None
