"""Where the tokens of packed completions stand, and what each of them sees."""

import pytest
import torch

from saga.supervisors.packing import PROMPT, pack

S0, T = 4, 6
LENGTHS = torch.tensor([[3, 1, 6], [2, 2, 2], [1, 1, 1]])
USE = torch.tensor([[True, False, True], [False, True, False], [False, False, False]])


def rows(packing):
    """Per pair, what stands behind the prompt: (completion, token), None in the padding."""
    block = packing.block_PS[:, S0:].tolist()
    assert (packing.block_PS[:, :S0] == PROMPT).all()
    return [
        [(g, t) if inside else None for g, t, inside in zip(*row)]
        for row in zip(block, packing.token_PM.tolist(), packing.packed_PM.tolist())
    ]


def test_completions_follow_each_other_without_their_last_tokens():
    assert rows(pack(S0, LENGTHS, T)) == [
        [(0, 0), (0, 1), (2, 0), (2, 1), (2, 2), (2, 3), (2, 4)],
        [(0, 0), (1, 0), (2, 0)] + [None] * 4,
        [None] * 7,
    ]


def test_completions_that_are_not_used_take_no_place():
    packing = pack(S0, LENGTHS, T, USE)
    first = [(0, 0), (0, 1), *((2, t) for t in range(5))]
    assert rows(packing) == [first, [(1, 0)] + [None] * 6, [None] * 7]
    assert packing.used_PG.equal(USE)


def test_a_place_names_the_position_that_holds_a_token_and_the_one_before_predicts_it():
    packing = pack(S0, LENGTHS, T)
    pair, completion, token = torch.tensor([[0, 0, 1, 0], [0, 2, 1, 2], [1, 0, 0, 3]])
    assert packing.holding(pair, completion, token).tolist() == [5, 6, 5, 9]
    assert packing.predicting(pair, completion, token).tolist() == [4, 3, 3, 8]


def test_ids_are_those_of_the_tokens_that_stand_there():
    tokens = torch.arange(LENGTHS.numel() * T).view(*LENGTHS.shape, T)
    packing = pack(S0, LENGTHS, T, USE)
    for p, (row, ids) in enumerate(zip(rows(packing), packing.ids(tokens).tolist())):
        for place, token in zip(row, ids):
            assert token in tokens[p] if place is None else token == tokens[p][place]
    assert tokens[..., :-1][packing.fed_PGL].equal(packing.ids(tokens)[packing.packed_PM])


@pytest.mark.parametrize("use", [None, USE])
def test_a_position_sees_the_prompt_and_its_own_completion_up_to_itself(use):
    """In the padding, itself alone behind the prompt."""
    packing = pack(S0, LENGTHS, T, use)
    index_S = torch.arange(S0 + packing.more)
    mask_PMS = packing.mask(torch.arange(3)[:, None], index_S[None, S0:])
    for p, row in enumerate(rows(packing)):
        for m, place in enumerate(row):
            seen = mask_PMS[p, m].nonzero()[:, 0].tolist()
            kin = [k for k in range(m) if place and row[k] and row[k][0] == place[0]]
            assert seen == [0, 1, 2, 3, *(S0 + k for k in kin), S0 + m]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_slabs_hold_all_rows_and_the_keys_that_they_see(size):
    packing = pack(S0, LENGTHS, T)
    slabs = packing.slabs(size)
    assert [m for _, row, end in slabs for m in range(row, end)] == list(range(packing.more))
    for first, row, end in slabs:
        seen_PMS = packing.mask(torch.arange(3)[:, None], S0 + torch.arange(row, end)[None])
        seen = seen_PMS[..., S0:].any(0).any(0).nonzero()[:, 0]
        assert first == seen[0] and seen[-1] < end


def test_the_prompt_is_causal_and_blind_to_completions():
    packing = pack(S0, LENGTHS, T)
    S = S0 + packing.more
    seen = packing.mask(torch.tensor(0), torch.arange(S0))
    assert seen.equal(torch.ones(S0, S).tril().bool())


def test_sequences_can_be_filled_up_to_whole_tiles():
    for multiple in (1, 4, 8):
        packing = pack(S0, LENGTHS, T, multiple=multiple)
        assert (S0 + packing.more) % multiple == 0 and 7 <= packing.more < 7 + multiple
        assert packing.packed_PM.sum() == 10


def test_completions_of_one_token_are_predicted_by_the_prompt_alone():
    packing = pack(S0, torch.ones(2, 3, dtype=torch.long), 1)
    assert packing.more == 0 and packing.used_PG.all() and not packing.slabs(128)
    assert packing.ids(torch.zeros(2, 3, 1, dtype=torch.long)).shape == (2, 0)
