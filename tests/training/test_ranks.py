"""What ranks tell each other, in real process groups of two and three (gloo)."""

import pytest
import torch

from saga.training.ranks import BUCKET, Ranks, _buckets, within
from tests.training.several_ranks import by_ranks


def exchange():
    """Everything that ranks tell each other, once."""
    ranks = Ranks.joined()
    rank, world = ranks.rank, ranks.world
    told = {"ranks": (ranks.rank, ranks.world)}
    rows = torch.arange(7.0)[:, None] * torch.ones(1, 2)
    block = ranks.block(7)
    told["whole"] = ranks.whole(rows[block], block, 7).tolist()
    turns = list(range(rank, 7, world))
    told["in turns"] = ranks.whole(rows[turns], turns, 7).tolist()
    told["from first"] = ranks.from_first(torch.tensor([rank + 1.0])).tolist()
    like = [torch.zeros(3), torch.zeros(2, 2), torch.zeros(1)]
    gradients = [torch.full((3,), rank + 1.0), torch.ones(2, 2) if rank else None, None]
    total = ranks.total(gradients, like)
    told["total"] = [None if g is None else g.tolist() for g in total]
    told["total_of"] = ranks.total_of({"b": 1.0, "a": float(rank)})
    told["most"] = ranks.most(10 * rank)
    ranks.check_equal([torch.ones(3)])
    try:
        ranks.check_equal([torch.full((3,), float(rank == world - 1))])
    except RuntimeError as error:
        told["differ"] = str(error)
    ranks.wait()
    return told


@pytest.fixture(scope="module", params=[2, 3])
def told(request, tmp_path_factory):
    """What each rank came to."""
    return by_ranks(request.param, tmp_path_factory.mktemp("ranks"), exchange)


def test_every_rank_knows_its_place(told):
    assert [t["ranks"] for t in told] == [(rank, len(told)) for rank in range(len(told))]


def test_rows_of_all_ranks_come_together_in_order(told):
    rows = [[float(i)] * 2 for i in range(7)]
    assert all(t["whole"] == rows and t["in turns"] == rows for t in told)
    assert all(t["from first"] == [1.0] for t in told)


def test_gradients_are_summed_and_what_no_rank_has_stays_nothing(told):
    world = len(told)
    ones = [[world - 1.0] * 2] * 2
    assert all(t["total"] == [[world * (world + 1) / 2] * 3, ones, None] for t in told)


def test_figures_are_summed_by_name(told):
    world = len(told)
    assert all(t["total_of"] == {"a": world * (world - 1) / 2, "b": world} for t in told)
    assert all(t["most"] == 10 * (world - 1) for t in told)


def test_ranks_that_hold_other_weights_are_found_by_all(told):
    assert all("hold other weights than rank 0" in t["differ"] for t in told)
    assert all(f"ranks [{len(told) - 1}]" in t["differ"] for t in told)


def test_alone_nothing_is_exchanged():
    alone = Ranks.joined()
    assert alone == Ranks() and alone.first
    x = torch.ones(2)
    assert alone.whole(x, alone.block(2), 2) is x and alone.total([None, x], [x, x]) == [None, x]
    assert alone.total_of({"a": 1.0}) == {"a": 1.0} and alone.most(3) == 3
    assert alone.balanced([1, 2, 3]) == [0, 1, 2]


@pytest.mark.parametrize("n", [3, 4, 7, 64])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_work_is_shared_out_without_rest(n, world):
    everyone = [Ranks(rank, world) for rank in range(world)]
    rows = list(range(n))
    assert [i for ranks in everyone for i in rows[ranks.block(n)]] == rows
    costs = [float((i * 37) % 11 + 1) for i in rows]
    shares = [ranks.balanced(costs) for ranks in everyone]
    assert sorted(i for share in shares for i in share) == rows
    loads = [sum(costs[i] for i in share) for share in shares]
    assert max(loads) - min(loads) <= max(costs)


def test_long_work_does_not_meet_on_one_rank():
    shares = [Ranks(rank, 2).balanced([9, 8, 1, 1, 1]) for rank in (0, 1)]
    assert [sum([9, 8, 1, 1, 1][i] for i in share) for share in shares] == [10, 10]
    assert not {0, 1} <= set(shares[0]) and not {0, 1} <= set(shares[1])


def test_chosen_work_is_found_in_its_parts():
    assert within([0, 2, 3, 6], [3, 0, 2, 2]) == [[0, 2], [], [0], [1]]
    assert within([], [2, 1]) == [[], []]


def test_what_travels_at_once_is_bounded():
    sizes = [BUCKET // 2, BUCKET // 2, 1, 2 * BUCKET, 5]
    assert list(_buckets([0, 1, 2, 3, 4], sizes)) == [[0, 1], [2], [3], [4]]
    assert list(_buckets([], sizes)) == []
