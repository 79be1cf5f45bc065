"""The clustered test against simulated encoders whose true difference is known.

A class's chance of a hit is b + e for one encoder and b + e' + δ for the other, with b (how hard the
class is) uniform in [0.4, 0.75] and the encoders' own class effects e, e' uniform in ±0.2. The true
difference of the two is δ exactly. Queries hit independently given their class.

    Var(mean difference) = (V + W / n) / C,   V = Var(e' - e) = 2 · 0.2² / 3,
    W = E[p(1 - p) + p'(1 - p')],             n queries in each of C classes

Shapes: S simulated data sets, C classes.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from saga.retrieval.statistics import Difference, classes_needed, clustered_mean, p_value, power

DATA_SETS = 4000
REACH = 0.2
HARD, EASY = 0.4, 0.75
DESIGNS = {
    "100 classes of 59": np.full(100, 59),
    "30 classes of 20": np.full(30, 20),
    "60 classes of 4 to 100": np.linspace(2, 10.9, 60).astype(int) ** 2,
}


@dataclass
class Simulated:
    """Sums over the queries of each class."""

    differences: np.ndarray
    """(S, C) of candidate minus reference."""
    squares: np.ndarray
    """(S, C) of its squares: the queries where just one hits."""
    sizes: np.ndarray
    """(C,)."""

    @property
    def mean(self):
        return self.differences.sum(1) / self.sizes.sum()

    @property
    def clustered_error(self):
        """The sandwich of a regression on a constant, clustered by class."""
        C = len(self.sizes)
        scores = self.differences - self.mean[:, None] * self.sizes
        return np.sqrt(C / (C - 1) * (scores**2).sum(1)) / self.sizes.sum()

    @property
    def query_error(self):
        """Of a test that takes queries for independent."""
        n = self.sizes.sum()
        return np.sqrt((self.squares.sum(1) / n - self.mean**2) / n)

    def interval(self, level=0.95):
        reach = stats.t.ppf(0.5 + level / 2, len(self.sizes) - 1) * self.clustered_error
        return self.mean - reach, self.mean + reach


def simulate(sizes, true_difference=0.0, data_sets=DATA_SETS, seed=0):
    rng = np.random.default_rng(seed)
    shape = (data_sets, len(sizes))
    base = rng.uniform(HARD, EASY, shape)
    theirs, ours = (base + rng.uniform(-REACH, REACH, shape) for _ in range(2))
    ours = ours + true_difference
    only_ours, only_theirs = ours * (1 - theirs), theirs * (1 - ours)
    chances = np.stack([only_ours, only_theirs, 1 - only_ours - only_theirs], axis=-1)
    won, lost, _ = np.moveaxis(rng.multinomial(np.broadcast_to(sizes, shape), chances), -1, 0)
    return Simulated(won - lost, won + lost, np.asarray(sizes))


def true_error(classes, queries):
    """The formula above; W by integrating over b and the effects' second moments."""
    effect = REACH**2 / 3
    centre, spread = (HARD + EASY) / 2, (EASY - HARD) ** 2 / 12
    within = 2 * (centre - centre**2 - spread - effect)
    return np.sqrt((2 * effect + within / queries) / classes)


@pytest.fixture(scope="module", params=DESIGNS)
def equal(request):
    return simulate(DESIGNS[request.param])


def test_the_simulation_computes_what_the_library_computes(equal):
    for i in range(20):
        values = []
        for d, s, n in zip(equal.differences[i], equal.squares[i], equal.sizes):
            won, lost = (s + d) // 2, (s - d) // 2
            values.append(np.repeat([1.0, -1.0, 0.0], [won, lost, n - s]))
        classes = pd.Series(np.repeat(np.arange(len(equal.sizes)), equal.sizes))
        found = clustered_mean(pd.Series(np.concatenate(values)), classes)
        low, high = (end[i] for end in equal.interval())
        expected = (equal.mean[i], low, high, equal.clustered_error[i])
        assert (found.mean, found.low, found.high, found.standard_error) == pytest.approx(expected)
        tail = stats.t.cdf(found.mean / found.standard_error, len(equal.sizes) - 1)
        assert p_value(found, 0.0, "less") == pytest.approx(tail)


def test_two_equal_encoders_differ_no_more_often_than_the_level_says(equal):
    low, high = equal.interval()
    assert 0.03 <= np.mean((low > 0) | (high < 0)) <= 0.07


def test_a_test_over_queries_finds_differences_that_are_not_there(equal):
    """On the same data: what the clustered test is for."""
    wrong = np.mean(np.abs(equal.mean) > 1.96 * equal.query_error)
    low, high = equal.interval()
    assert wrong > 0.14 and wrong > 2 * np.mean((low > 0) | (high < 0))


@pytest.mark.parametrize("design", DESIGNS)
def test_the_interval_holds_the_truth_as_often_as_it_says(design):
    simulated = simulate(DESIGNS[design], 0.03, seed=1)
    for level in (0.8, 0.95):
        low, high = simulated.interval(level)
        assert np.mean((low <= 0.03) & (high >= 0.03)) == pytest.approx(level, abs=0.025)


@pytest.mark.parametrize("margin", [0.01, 0.05])
@pytest.mark.parametrize("design", DESIGNS)
def test_a_loss_of_the_margin_passes_as_non_inferior_in_at_most_one_case_of_forty(design, margin):
    low, _ = simulate(DESIGNS[design], -margin, seed=2).interval()
    simulation_error = 3 * np.sqrt(0.025 * 0.975 / DATA_SETS)
    assert np.mean(low >= -margin) <= 0.025 + simulation_error


@pytest.mark.parametrize(("classes", "queries"), [(100, 59), (30, 20)])
@pytest.mark.parametrize("true_difference", [-0.02, 0.0, 0.04])
def test_power_is_as_computed(classes, queries, true_difference):
    simulated = simulate(np.full(classes, queries), true_difference, seed=3)
    error = true_error(classes, queries)
    assert error == pytest.approx(simulated.mean.std(ddof=1), rel=0.05)
    planned = Difference(0.0, 0.0, 0.0, error, classes, classes * queries)
    low, _ = simulated.interval()
    for margin in (0.0, 0.02, 0.05):
        passed = np.mean(low > -margin)
        assert power(planned, margin, true_difference) == pytest.approx(passed, abs=0.03)


@pytest.mark.parametrize("margin", [0.04, 0.08])
def test_with_the_classes_that_are_needed_four_of_five_equal_encoders_pass(margin):
    planned = Difference(0.0, 0.0, 0.0, float(true_error(30, 20)), 30, 600)
    needed = classes_needed(planned, margin)
    assert needed != 30
    low, _ = simulate(np.full(needed, 20), seed=5).interval()
    assert np.mean(low > -margin) == pytest.approx(0.8, abs=0.03)
