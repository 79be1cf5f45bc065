"""The exact sign test against counting every way the changed queries could have gone."""

import itertools

import numpy as np
import pytest

from saga.retrieval.sign_test import able_to_alarm, sign_test
from tests.gates.made import report_of, with_column


def naive(ours: list[float], theirs: list[float]) -> float:
    """Share of all ways of losing and gaining the changed queries with as many losses."""
    changed = [a - b for a, b in zip(ours, theirs) if a != b]
    losses = sum(c < 0 for c in changed)
    ways = list(itertools.product((0, 1), repeat=len(changed)))
    return sum(sum(way) >= losses for way in ways) / len(ways)


@pytest.mark.parametrize("seed", range(12))
def test_the_chance_is_the_share_of_all_ways_with_as_many_losses(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ours, theirs = rng.integers(0, 2, (2, 11)).astype(float).tolist()
    found = sign_test(report_of([ours]), report_of([theirs]), "recall_at_1")
    assert found.p_value == pytest.approx(naive(ours, theirs))
    assert found.difference == pytest.approx(np.mean(ours) - np.mean(theirs))
    assert found.least == 0.5 ** sum(a != b for a, b in zip(ours, theirs))


def test_only_the_direction_of_a_change_counts() -> None:
    theirs = [0.5, 0.5, 0.5, 0.5]
    for ours in ([0.4, 0.1, 0.5, 0.9], [0.0, 0.49, 0.5, 0.51]):
        found = sign_test(report_of([ours]), report_of([theirs]), "map_at_r")
        assert (found.p_value, found.least) == (0.5, 0.125)


def test_nothing_changed_is_no_sign_of_loss_and_all_lost_is_the_least_chance() -> None:
    hits = report_of([[1, 1, 0, 1]])
    same = sign_test(hits, hits, "recall_at_1")
    assert (same.difference, same.p_value, same.least) == (0, 1, 1)
    lost = sign_test(report_of([[0] * 10]), report_of([[1] * 10]), "recall_at_1")
    assert lost.p_value == lost.least == 0.5**10
    gained = sign_test(report_of([[1] * 10]), report_of([[0] * 10]), "recall_at_1")
    assert (gained.p_value, gained.least) == (1, 0.5**10)


def test_queries_are_paired_by_image() -> None:
    ours, theirs = report_of([[1, 0, 0, 1]]), report_of([[1, 1, 1, 0]])
    backwards = ours.per_query.iloc[::-1].reset_index(drop=True)
    shuffled = report_of([[1, 0, 0, 1]], per_query=backwards)
    assert sign_test(shuffled, theirs, "recall_at_1") == sign_test(ours, theirs, "recall_at_1")


def test_queries_that_do_not_fit_are_refused() -> None:
    ours = report_of([[1, 0, 1]])
    for other, problem in (
        (report_of([[1, 0, 1, 1]]), "same queries"),
        (with_column(ours, "image_id", ["a", "b", "c"]), "same queries"),
        (with_column(ours, "image_id", ["a", "a", "c"]), "twice"),
        (with_column(ours, "hit_at_1", [1, float("nan"), 0]), "missing or not finite"),
        (with_column(ours, "hit_at_1", [1, float("inf"), 0]), "missing or not finite"),
    ):
        for pair in ((ours, other), (other, ours)):
            with pytest.raises(ValueError, match=problem):
                sign_test(*pair, "recall_at_1")
    with pytest.raises(ValueError, match="nmi has no outcome"):
        sign_test(ours, ours, "nmi")


def test_only_tests_that_could_reach_their_share_of_alpha_are_corrected_for() -> None:
    alpha = 0.025
    few = [0.5**2] * 59
    assert able_to_alarm([*few, 0.5**10], alpha) == [False] * 59 + [True]
    assert able_to_alarm([*few, 0.5**5], alpha) == [False] * 60
    assert able_to_alarm([0.0] * 4, alpha) == [True] * 4
    assert able_to_alarm([], alpha) == []
    # Two could at alpha, at alpha / 2 only one: K is 2, and that one is left.
    assert able_to_alarm([0.5**6, 0.5**10, 1.0], alpha) == [False, True, False]


@pytest.mark.parametrize("seed", range(20))
def test_no_more_are_chosen_than_can_be_corrected_for_and_never_too_few(seed: int) -> None:
    rng, alpha = np.random.default_rng(seed), 0.05
    least = (0.5 ** rng.integers(0, 14, 25)).tolist()
    chosen = able_to_alarm(least, alpha)
    fewest = min(k for k in range(1, 26) if sum(p <= alpha / k for p in least) <= k)
    assert chosen == [p <= alpha / fewest for p in least] and sum(chosen) <= fewest


def test_the_choice_keeps_the_error_of_discrete_tests() -> None:
    """2,000 times forty classes of equal encoders: any alarm in at most 2.5 % of them."""
    rng, alpha, draws = np.random.default_rng(2), 0.025, 2000
    changed = rng.integers(0, 12, (draws, 40))
    losses = rng.binomial(changed, 0.5)
    alarms = 0
    for n, lost in zip(changed, losses):
        able = able_to_alarm((0.5**n).tolist(), alpha)
        all_lost = [0.5 ** int(m) for m, k, one in zip(n, lost, able) if one and m == k]
        alarms += any(p * sum(able) <= alpha for p in all_lost)
    assert alarms / draws <= alpha + 3 * (alpha * (1 - alpha) / draws) ** 0.5
