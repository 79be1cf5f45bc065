"""Each rank reads its own completions and knows of all what came of them."""

from types import SimpleNamespace

import torch

from saga.supervisors.rollout import Completions
from saga.supervisors.supervisor import Supervisor
from saga.training.ranks import Ranks
from saga.training.reading import ReadLater, read_own
from tests.training.several_ranks import by_ranks

SAME = [True, False, True, True, False]


def completions_of(pairs):
    """Three a pair, by their only token: 0 cannot be read, an even one says "same"."""
    tokens = torch.tensor([[p, p + 1, 2 * p] for p in pairs])[..., None]
    shape = tokens.shape[:2]
    ended = torch.ones(shape, dtype=torch.bool)
    return Completions(tokens, torch.ones(shape, dtype=torch.long), ended, torch.zeros(*shape, 1))


class Reader:
    """In the place of a supervisor; notes which pairs it has read."""

    def __init__(self):
        self.asked = []

    def read(self, completions):
        groups = completions.tokens_PGT[..., 0].tolist()
        self.asked += [group[0] for group in groups]
        return [
            [SimpleNamespace(same=t % 2 == 0, token=t) if t else None for t in group]
            for group in groups
        ]

    assess = Supervisor.assess


def read():
    """Reading of five pairs, and what was read for it."""
    ranks, supervisor = Ranks.joined(), Reader()
    mine = list(range(ranks.rank, 5, ranks.world))
    whole = completions_of(range(5))
    reading = read_own(supervisor, completions_of(mine), whole, SAME, mine, ranks)
    at_once = list(supervisor.asked)
    kept = reading.select(torch.tensor([1, 4]))
    after_select = list(supervisor.asked)
    answers = [[a and a.token for a in group] for group in kept.verdicts.answers]
    return {
        "rewards": reading.verdicts.rewards_PG.tolist(),
        "parsed": reading.parsed_PG.tolist(),
        "at once": at_once,
        "after select": after_select,
        "asked": sorted(supervisor.asked),
        "answers": answers,
        "kept": kept.parsed_PG.tolist(),
    }


def test_ranks_come_to_what_one_comes_to_by_reading_their_own(tmp_path):
    alone = read()
    assert alone["at once"] == [0, 1, 2, 3, 4] == alone["asked"]
    assert alone["rewards"][1] == [1, 0, 0] and alone["parsed"][0] == [False, True, False]
    for rank, told in enumerate(by_ranks(2, tmp_path, read)):
        for name in ("rewards", "parsed", "answers", "kept"):
            assert told[name] == alone[name], name
        own = list(range(rank, 5, 2))
        assert told["at once"] == told["after select"] == own
        assert told["asked"] == sorted({*own, 1, 4})


def test_a_group_is_read_once_and_only_when_asked():
    asked = []

    def read_group():
        asked.append(1)
        return [None, None]

    group = ReadLater(read_group)
    assert not asked
    assert group[0] is None and len(group) == 2 and list(group) == [None, None]
    assert len(asked) == 1
