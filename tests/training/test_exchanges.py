"""Waiting is measured, and who does not come is named: real groups of two and three (gloo)."""

import os
import time
from types import SimpleNamespace
from unittest.mock import patch

import pytest
import torch

from saga.training import exchanges
from saga.training.exchanges import MissingRanksError, waiting
from saga.training.phases import PhaseClock
from saga.training.ranks import Ranks
from saga.training.trainer import Trainer
from tests.training.made import EMBEDDED, made_arm, made_pairs
from tests.training.several_ranks import by_ranks

NEVER = 600


def hang(absent, ends):
    """Two exchanges of which some ranks miss the second, in the third step's rollout."""
    clock = PhaseClock()
    ranks = Ranks.joined(clock)
    ranks.wait()
    ranks.begin(3)
    with clock("rollout"):
        if ranks.rank in absent:
            os._exit(1) if ends else time.sleep(NEVER)
        ranks.most(1)


@pytest.mark.parametrize(
    ("world", "absent", "ends"), [(2, (1,), False), (3, (0, 1), False), (3, (1,), True)]
)
def test_ranks_that_do_not_come_are_named_by_all_others(world, absent, ends, tmp_path):
    told = by_ranks(world, tmp_path, hang, absent, ends, limit=2.0, silent=absent)
    for rank in set(range(world)) - set(absent):
        assert isinstance(told[rank], MissingRanksError), told[rank]
        named = ", ".join(map(str, absent))
        assert f"Of {world} ranks these did not come" in str(told[rank])
        assert "to step 3, phase rollout within" in str(told[rank])
        assert f" s: {named}. They hang or have ended" in str(told[rank])


def raise_of_its_own():
    """A rank fails inside an exchange to which all came."""

    def send():
        raise RuntimeError("out of memory")

    ranks = Ranks.joined()
    assert ranks.exchanges is not None
    ranks.exchanges(send, torch.device("cpu"))


def test_what_fails_although_all_came_is_left_as_it_is(tmp_path):
    for told in by_ranks(2, tmp_path, raise_of_its_own):
        assert type(told) is RuntimeError and str(told) == "out of memory"


def step_without_rank_one(arm, manifest, pairs):
    """A trainer's step in which one rank's process ends while it decodes."""
    trainer = Trainer(arm, manifest, pairs)
    if trainer.ranks.rank == 1:
        trainer.supervisor.sample = lambda *_: os._exit(1)
    trainer.step()


def test_a_training_says_in_which_step_and_phase_a_rank_stayed_behind(birds, tmp_path):
    told, _ = by_ranks(
        2,
        tmp_path,
        step_without_rank_one,
        made_arm(EMBEDDED),
        birds,
        made_pairs(birds),
        silent=(1,),
    )
    assert isinstance(told, MissingRanksError), told
    assert "did not come to step 1, phase rollout" in str(told) and ": 1. They" in str(told)


def made_clock(seconds):
    """Stands for the module `time`: each exchange takes what is told."""
    looks = iter([look for took in seconds for look in (0.0, took)])
    return SimpleNamespace(perf_counter=lambda: next(looks), monotonic=time.monotonic)


def exchange_by_a_made_clock():
    """Three exchanges in two phases; rank 1 comes last to the first and rank 0 to the third."""
    clock = PhaseClock()
    ranks = Ranks.joined(clock)
    ranks.wait()
    ranks.begin(1)
    taken = [[5.0, 2.0, 1.0], [1.0, 2.0, 4.0]][ranks.rank]
    with patch.object(exchanges, "time", made_clock([*taken, 0.0])):
        ranks.total_of({"a": 1.0})
        with clock("replay"):
            ranks.total_of({"a": 1.0})
            ranks.total_of({"a": 1.0})
        return ranks.waits(20.0)


def test_ranks_wait_for_the_last_one_and_not_for_the_data(tmp_path):
    told = by_ranks(2, tmp_path, exchange_by_a_made_clock)
    for figures in told:
        assert figures == pytest.approx(
            {
                "wait_share": (4 + 3) / 2 / 20,
                "wait_share_max": 4 / 20,
                "wait_share_of_0": 4 / 20,
                "wait_share_of_1": 3 / 20,
                "exchange_share": (1 + 2 + 1) / 20,
                "wait_seconds_other": 2.0,
                "wait_seconds_replay": 1.5,
            }
        )


def test_a_step_without_exchanges_has_no_waiting():
    found = waiting([], torch.zeros(3, 0), torch.ones(3))
    assert found["wait_share"] == found["wait_share_max"] == found["exchange_share"] == 0


def test_alone_there_is_nothing_to_wait_for():
    ranks = Ranks.joined(PhaseClock())
    ranks.begin(1)
    assert ranks.exchanges is None and ranks.waits(1.0) == {}
