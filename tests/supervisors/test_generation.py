"""What a CUDA graph needs of a step: no look from the host, fixed addresses, nothing left by a trial."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from saga.supervisors import rollout, sampling
from saga.supervisors.pace import Pace, drive
from saga.supervisors.shared_prefix import Window
from tests.supervisors.conftest import ROLLOUT
from tests.supervisors.test_rollout import rolled

LOOKS = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2", "lift_fresh"}
FIXED = Pace(check_every=5, room_step=8, halving=True, kept=True)


class NoLook(TorchDispatchMode):
    """Refuses what waits for a device, or copies to it from the host."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        masks = name in ("index", "index_put", "index_put_") and any(
            x is not None and x.dtype == torch.bool for x in args[1]
        )
        assert name not in LOOKS and not masks, f"{name} waits for the host"
        return func(*args, **(kwargs or {}))


@pytest.fixture
def generation(checkpoint, image_tokens, monkeypatch):
    """The first token of each row is there."""
    held = []
    monkeypatch.setattr(rollout, "drive", lambda generation, *_: held.append(generation))
    rolled(checkpoint, image_tokens, pace=FIXED)
    return held[0]


def buffers(generation):
    memory = generation.memory
    every = [*memory.prompt_keys, *memory.prompt_values, *memory._keys, *memory._values]
    names = ("uniform_TN", "tokens_TN", "logps_TN", "token_N", "ended_N", "slot_1", "lengths_N")
    return [
        *every,
        memory.places_N,
        generation.places_N,
        *(getattr(generation, name) for name in names),
    ]


@torch.no_grad()
def test_a_step_never_waits_for_the_host(generation, monkeypatch):
    monkeypatch.setattr(sampling, "looking_is_free", lambda device: False)
    with NoLook():
        generation.step(Window(12, 8, False))
        generation.step(Window(6, 8, False))  # with places


@torch.no_grad()
def test_the_host_is_seen_looking(generation):
    with pytest.raises(AssertionError, match="waits for the host"), NoLook():
        generation.alive(12)


@torch.no_grad()
def test_addresses_stay(generation):
    before = [x.data_ptr() for x in buffers(generation)]
    drive(generation, 12, FIXED, generation.step)
    assert generation.slot_1 > 5
    assert [x.data_ptr() for x in buffers(generation)] == before


@torch.no_grad()
def test_a_trial_is_undone(generation):
    window, reference = Window(12, 8, False), generation.slot_1.clone()
    with generation.undone():
        generation.step(window)
        first = generation.token_N.clone(), generation.logps_TN[1].clone()
    assert torch.equal(generation.slot_1, reference)
    generation.step(window)
    assert torch.equal(first[0], generation.token_N)
    assert torch.equal(first[1], generation.logps_TN[1])


@torch.no_grad()
def test_compaction_keeps_the_living_in_their_order(generation):
    generation.step(Window(12, 8, False))
    generation.ended_N.copy_(torch.tensor([0, 1, 1, 0, 1, 1, 1, 0, 1, 1, 0, 1]).bool())
    token = generation.token_N.clone()
    generation.compact(Window(12, 1, True), Window(6, 1, True))
    places = generation.places_N[:6]
    assert torch.equal(places, generation.memory.places_N[:6])  # no prompt goes: its shapes stay
    assert places.tolist() == [0, 1, 2, 3, 7, 10]
    assert torch.equal(generation.token_N[:6], token[places])
    assert generation.ended_N[:6].tolist() == [False, True, True, False, False, False]
    assert generation.alive(6) == 4


def test_the_limit_is_the_rollouts(generation):
    assert generation.limit == ROLLOUT.max_new_tokens
