"""Attention of groups to shared prompts and own tokens equals attention over copies of both."""

import pytest
import torch

from saga.supervisors.shared_prefix import SharedPrefix, Window

P, G, K, Q, S, D = 3, 2, 2, 2, 5, 4
SCALE = D**-0.5


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def memory_of(room, pairs=P, fixed=False):
    keys, values = random(P, K, S, D, seed=1), random(P, K, S, D, seed=2)
    memory = SharedPrefix([(keys, values)], pairs, G, room, fixed=fixed)
    memory.put(0, 0, keys[:2], values[:2])
    memory.put(0, 2, keys[2:], values[2:])
    return memory, keys, values


def naive(query_RHD, keys_RKTD, values_RKTD):
    """One row and head after the other."""
    found = torch.zeros_like(query_RHD)
    for r in range(query_RHD.shape[0]):
        for h in range(K * Q):
            weights = (keys_RKTD[r, h // Q] @ query_RHD[r, h] * SCALE).softmax(0)
            found[r, h] = weights @ values_RKTD[r, h // Q]
    return found.flatten(1)


LEAVE = {2: [1], 3: [1], 5: [0, 2], 6: [1]}
"""Before which tokens which rows go, of those left; at 5 the first prompt loses its last one."""


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("room_step", [1, 4])
@pytest.mark.parametrize("room", [2, 8])
def test_attention_is_that_over_copied_prompts(room_step, room, fixed):
    """Exact windows and masked ones, buffers that grow, and rows and whole groups that leave."""
    memory, prompt_keys, prompt_values = memory_of(room, fixed=fixed)
    keys = prompt_keys.repeat_interleave(G, 0)
    values = prompt_values.repeat_interleave(G, 0)
    rows = P * G
    for t in range(8):
        if t in LEAVE:
            kept = torch.tensor([i for i in range(rows) if i not in LEAVE[t]])
            memory.keep(kept, Window(rows, t, True), Window(len(kept), t, True))
            keys, values, rows = keys[kept], values[kept], len(kept)
        query = random(rows, K * Q, D, seed=10 + t)
        key, value = random(rows, K, D, seed=30 + t), random(rows, K, D, seed=50 + t)
        keys = torch.cat([keys, key[:, :, None]], 2)
        values = torch.cat([values, value[:, :, None]], 2)
        window = Window(rows, -(-(t + 1) // room_step) * room_step, room_step == 1)
        memory.reserve(window.room)
        slot = torch.tensor([t])
        hidden = memory.unwritten(slot, window)
        found = memory.attend(0, window, slot, hidden, query, key, value, SCALE)
        torch.testing.assert_close(found, naive(query, keys, values))
    assert memory.pairs == (P if fixed else 1)


def test_what_was_written_before_does_not_show():
    """Buffers are used again for other completions without being emptied."""
    query, key, value = random(P * G, K * Q, D), random(P * G, K, D), random(P * G, K, D, seed=1)
    found = []
    for used in (False, True):
        memory, _, _ = memory_of(4)
        window, slot = Window(P * G, 4, False), torch.tensor([0])
        if used:
            for t in range(4):
                memory.attend(0, window, torch.tensor([t]), None, query, key + t, value - t, SCALE)
        hidden = memory.unwritten(slot, window)
        found.append(memory.attend(0, window, slot, hidden, query, key, value, SCALE))
    assert torch.equal(found[0], found[1])


def test_room_for_more_pairs_than_there_are_changes_nothing():
    query, key, value = random(P * G, K * Q, D), random(P * G, K, D), random(P * G, K, D, seed=1)
    window, slot = Window(P * G, 1, True), torch.tensor([0])
    few, many = memory_of(4)[0], memory_of(4, pairs=P + 2)[0]
    torch.testing.assert_close(
        few.attend(0, window, slot, None, query, key, value, SCALE),
        many.attend(0, window, slot, None, query, key, value, SCALE),
    )


def test_prompts_are_kept_once():
    memory, _, _ = memory_of(4)
    assert memory.prompt_keys[0].shape == (K * P, D, S)
    assert memory.prompt_values[0].shape == (K * P, S, D)
