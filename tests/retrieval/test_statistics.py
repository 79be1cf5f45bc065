import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from saga.retrieval.statistics import (
    Difference,
    bootstrap_mean,
    classes_needed,
    clustered_mean,
    estimate,
    p_value,
    paired_difference,
    power,
)
from tests.retrieval.made import made_report

SIZES = [4, 7, 10] * 8


@pytest.fixture(scope="module")
def pair():
    return made_report(SIZES, 0.5, name="saga"), made_report(SIZES, 0.8, name="dml")


def test_with_classes_of_one_size_the_interval_is_the_t_interval_of_the_class_means():
    rng = np.random.default_rng(0)
    values = pd.Series(rng.normal(size=60))
    classes = pd.Series(np.repeat(np.arange(12), 5))
    found = clustered_mean(values, classes, 0.9)
    means = values.groupby(classes).mean()
    low, high = stats.t.interval(0.9, 11, means.mean(), stats.sem(means))
    assert (found.mean, found.low, found.high) == pytest.approx((means.mean(), low, high))
    assert (found.classes, found.queries, found.level) == (12, 60, 0.9)


def test_the_standard_error_is_that_of_a_regression_on_a_constant_clustered_by_class(pair):
    """The sandwich (X'X)⁻¹ Σ X'u u'X (X'X)⁻¹ · C/(C-1), written out."""
    found = paired_difference(*pair, "map_at_r")
    saga, dml = (report.per_query.set_index("image_id") for report in pair)
    u = saga["ap_at_r"] - dml["ap_at_r"]
    residual = u - u.mean()
    scores = [residual[saga["class_id"] == c].sum() for c in saga["class_id"].unique()]
    C = len(scores)
    expected = np.sqrt(C / (C - 1) * np.square(scores).sum()) / len(u)
    assert found.mean == pytest.approx(u.mean()) and found.standard_error == pytest.approx(expected)


def test_the_difference_is_that_of_the_figures_and_changes_sign_with_the_order(pair):
    for metric in ("recall_at_1", "recall_at_8", "map_at_r"):
        there, back = paired_difference(*pair, metric), paired_difference(*pair[::-1], metric)
        expected = pair[0].metrics[metric] - pair[1].metrics[metric]
        assert there.mean == pytest.approx(expected) == pytest.approx(-back.mean)
        assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


def test_an_encoder_against_itself_differs_by_nothing(pair):
    for method in ("clustered_t", "class_bootstrap"):
        found = paired_difference(pair[0], pair[0], "recall_at_1", method=method)
        assert found.mean == found.low == found.high == found.standard_error == 0


def test_the_bootstrap_repeats_with_its_seed_and_agrees_with_t(pair):
    robust = paired_difference(*pair, "map_at_r")
    first = paired_difference(*pair, "map_at_r", method="class_bootstrap", seed=3)
    assert first == paired_difference(*pair, "map_at_r", method="class_bootstrap", seed=3)
    assert first != paired_difference(*pair, "map_at_r", method="class_bootstrap", seed=4)
    assert first.mean == pytest.approx(robust.mean)
    assert first.standard_error == pytest.approx(robust.standard_error, rel=0.15)


def test_the_bootstrap_draws_whole_classes():
    """Two classes of opposite outcome: means are 0, 1/2 or 1 and nothing between."""
    values, classes = pd.Series([0.0] * 5 + [1.0] * 5), pd.Series([1] * 5 + [2] * 5)
    found = bootstrap_mean(values, classes, 0.9, resamples=1000)
    assert (found.low, found.mean, found.high) == (0, 0.5, 1)


def test_order_of_the_queries_does_not_matter(pair):
    shuffled = dataclasses.replace(
        pair[1], per_query=pair[1].per_query.sample(frac=1, random_state=0)
    )
    assert paired_difference(pair[0], shuffled, "recall_at_1") == paired_difference(
        *pair, "recall_at_1"
    )


def test_reports_of_other_queries_are_refused(pair):
    table = pair[1].per_query
    fewer = dataclasses.replace(pair[1], per_query=table.iloc[1:])
    renamed = dataclasses.replace(pair[1], per_query=table.assign(image_id="x" + table["image_id"]))
    moved = dataclasses.replace(pair[1], per_query=table.assign(class_id=table["class_id"] + 1))
    for other in (fewer, renamed, moved):
        for reports in ((pair[0], other), (other, pair[0])):
            with pytest.raises(ValueError, match="same queries"):
                paired_difference(*reports, "recall_at_1")
    twice = dataclasses.replace(pair[1], per_query=pd.concat([table, table.iloc[:1]]))
    with pytest.raises(ValueError, match="twice"):
        paired_difference(pair[0], twice, "recall_at_1")


@pytest.mark.parametrize("metric", ["nmi", "recall_at_3", "recall_at_", "accuracy"])
def test_a_metric_without_outcomes_is_refused(pair, metric):
    with pytest.raises(ValueError, match=metric):
        paired_difference(*pair, metric)


def test_a_missing_value_or_a_single_class_has_no_interval(pair):
    table = pair[0].per_query
    missing = dataclasses.replace(pair[0], per_query=table.assign(ap_at_r=np.nan))
    with pytest.raises(ValueError, match="missing"):
        estimate(missing, "map_at_r")
    one = dataclasses.replace(pair[0], per_query=table[table["class_id"] == 3])
    with pytest.raises(ValueError, match="at least two"):
        estimate(one, "recall_at_1")
    with pytest.raises(ValueError, match="level"):
        estimate(pair[0], "recall_at_1", 95)


def test_clustered_intervals_miss_no_more_often_than_they_say_and_query_intervals_do():
    """No difference in truth, queries of a class alike: 600 experiments at a nominal 5 %."""
    rng = np.random.default_rng(11)
    sizes = rng.integers(5, 25, size=40)
    classes = pd.Series(np.repeat(np.arange(40), sizes))
    misses = {"t": 0, "bootstrap": 0, "query": 0}
    experiments = 600
    for i in range(experiments):
        shared = rng.normal(size=40)[classes]
        # Outcomes of two encoders: hits of 0 or 1 that lean together within a class.
        values = pd.Series(
            np.sign(shared + rng.normal(size=len(classes))) * (rng.random(len(classes)) < 0.3)
        )
        robust = clustered_mean(values, classes)
        misses["t"] += not robust.low <= 0 <= robust.high
        drawn = bootstrap_mean(values, classes, resamples=400, seed=i)
        misses["bootstrap"] += not drawn.low <= 0 <= drawn.high
        reach = 1.96 * stats.sem(values)
        misses["query"] += not abs(values.mean()) <= reach
    rates = {name: count / experiments for name, count in misses.items()}
    assert 0.025 <= rates["t"] <= 0.075  # binomial 99 % range of a true 5 %
    assert rates["bootstrap"] <= 0.09
    assert rates["query"] > 0.12


def difference(mean=0.01, error=0.01, classes=12, level=0.95, method="clustered_t"):
    reach = stats.t.ppf(0.5 + level / 2, classes - 1) * error
    return Difference(mean, mean - reach, mean + reach, error, classes, 5 * classes, level, method)


def test_with_classes_of_one_size_the_p_value_is_that_of_a_t_test_on_the_class_means():
    rng = np.random.default_rng(0)
    values = pd.Series(rng.normal(0.2, 1, size=60))
    classes = pd.Series(np.repeat(np.arange(12), 5))
    found, means = clustered_mean(values, classes), values.groupby(classes).mean()
    for side in ("greater", "less"):
        for null in (-0.3, 0.0, 0.4):
            expected = stats.ttest_1samp(means, null, alternative=side).pvalue
            assert p_value(found, null, side) == pytest.approx(expected)


def test_the_p_value_at_an_end_of_the_interval_is_half_of_what_the_interval_leaves_out():
    found = difference(level=0.9)
    assert p_value(found, found.low, "greater") == pytest.approx(0.05)
    assert p_value(found, found.high, "less") == pytest.approx(0.05)


def test_without_spread_only_a_claim_that_holds_is_certain():
    found = difference(mean=0.0, error=0.0)
    assert p_value(found, 0.0, "greater") == p_value(found, 0.0, "less") == 1
    assert p_value(found, -0.02, "greater") == p_value(found, 0.02, "less") == 0


def test_a_bootstrap_interval_has_no_t_test():
    found = difference(method="class_bootstrap")
    for ask in (lambda: p_value(found, 0, "greater"), lambda: classes_needed(found, 0.02)):
        with pytest.raises(ValueError, match="clustered_t"):
            ask()
    with pytest.raises(ValueError, match="side"):
        p_value(difference(), 0, "two-sided")


def test_a_true_loss_of_the_margin_passes_as_often_as_the_level_allows():
    for level in (0.9, 0.95):
        found = difference(level=level)
        assert power(found, 0.02, -0.02) == pytest.approx((1 - level) / 2)


def test_power_rises_with_classes_and_margin_and_agrees_with_the_normal_formula_for_many_classes():
    found = difference(error=0.01, classes=12)
    by_classes = [power(found, 0.01, classes=C) for C in (2, 6, 12, 50, 500, 50_000)]
    assert by_classes == sorted(by_classes) and by_classes[-1] > 0.999
    many = difference(error=0.01, classes=10_000)
    assert power(many, 0.02) == pytest.approx(stats.norm.cdf(2 - 1.95996), abs=1e-3)


def test_the_classes_needed_are_the_fewest_that_suffice():
    for error in (0.001, 0.01, 0.05):
        found = difference(error=error)
        needed = classes_needed(found, 0.02)
        assert power(found, 0.02, classes=needed) >= 0.8
        assert needed == 2 or power(found, 0.02, classes=needed - 1) < 0.8
    assert classes_needed(difference(error=0.0), 0.02) == 2


def test_four_times_the_classes_halve_the_margin_that_they_can_show():
    found = difference(error=0.02, classes=100)
    ratio = classes_needed(found, 0.01) / classes_needed(found, 0.02)
    assert ratio == pytest.approx(4, rel=0.02)


def test_a_difference_that_is_not_there_needs_no_number_of_classes():
    with pytest.raises(ValueError, match="not there"):
        classes_needed(difference(), 0.02, true_difference=-0.02)
    with pytest.raises(ValueError, match="too many"):
        classes_needed(difference(), 1e-9)
    with pytest.raises(ValueError, match="wanted"):
        classes_needed(difference(), 0.02, wanted=1.0)
