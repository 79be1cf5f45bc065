import numpy as np
import pandas as pd
import pytest
from scipy import stats

from saga.retrieval.report import RetrievalReport
from saga.studies.statistics import seed_difference, seed_interval


def report(name: str, data: str, hits: list[list[bool]]) -> RetrievalReport:
    """Hits of the queries of each class."""
    rows = [
        {"image_id": f"{c}-{i}", "class_id": c, "class_name": str(c), "hit_at_1": hit}
        for c, found in enumerate(hits)
        for i, hit in enumerate(found)
    ]
    return RetrievalReport(name, {}, pd.DataFrame(rows), "e" * 64, data)


def drawn(name: str, share: float, seed: int, classes: int = 5) -> RetrievalReport:
    rng = np.random.default_rng([seed, int(100 * share)])
    hits = [(rng.random(4 + c) < share).tolist() for c in range(classes)]
    return report(name, f"data {seed}", hits)


def test_a_class_of_one_seed_is_one_cluster_of_the_interval():
    first = {s: drawn("saga", 0.7, s) for s in range(3)}
    second = {s: drawn("dml", 0.4, s) for s in range(3)}
    found = seed_difference(first, second, 3)
    sums, sizes = [], []
    for s in range(3):  # by hand, class after class of every seed
        ours, theirs = first[s].per_query, second[s].per_query
        for c in range(5):
            a = ours.loc[ours["class_id"] == c, "hit_at_1"].to_numpy(float)
            b = theirs.loc[theirs["class_id"] == c, "hit_at_1"].to_numpy(float)
            sums.append((a - b).sum())
            sizes.append(len(a))
    sums, sizes, C = np.array(sums), np.array(sizes), 15
    mean = sums.sum() / sizes.sum()
    error = np.sqrt(C / (C - 1) * ((sums - mean * sizes) ** 2).sum()) / sizes.sum()
    reach = stats.t.ppf(0.975, C - 1) * error
    assert found.classes == 15
    assert (found.mean, found.low, found.high) == pytest.approx((mean, mean - reach, mean + reach))


def test_the_interval_over_seeds_is_scipys_t_interval_of_the_seeds_means():
    values = [0.1, 0.25, 0.18, 0.02]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert seed_interval(values) == pytest.approx((expected.low, expected.high))
    assert seed_interval([0.1]) == (None, None)


def test_seeds_that_one_of_the_two_lacks_are_told_and_not_counted():
    first = {0: drawn("saga", 0.7, 0), 2: drawn("saga", 0.7, 2)}
    second = {0: drawn("dml", 0.4, 0), 1: drawn("dml", 0.4, 1)}
    found = seed_difference(first, second, 3)
    assert found.per_seed[1:] == [None, None] and found.per_seed[0] == pytest.approx(found.mean)
    assert (found.seed_low, found.classes) == (None, 5)
    assert seed_difference(first, {1: second[1]}, 3) is None


def test_reports_of_different_queries_or_data_are_not_compared():
    ours, theirs = report("a", "one", [[True], [True]]), report("b", "one", [[True], [True, False]])
    with pytest.raises(ValueError, match="same queries"):
        seed_difference({0: ours}, {0: theirs}, 1)
    with pytest.raises(ValueError, match="same data"):
        seed_difference({0: ours}, {0: report("b", "two", [[True], [True]])}, 1)
