from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from saga.gates.base import GateResult, Status
from saga.gates.non_inferiority import NonInferiority
from saga.retrieval.report import RetrievalReport
from saga.retrieval.statistics import classes_needed, paired_difference
from tests.gates.made import evenly, judge, naive_interval, report_of, with_metric, without


def gate(**settings: Any) -> NonInferiority:
    return NonInferiority(**{"id": "gate", "metric": "map_at_r", "margin": 0.02} | settings)


def pair(differences: list[list[float]]) -> tuple[RetrievalReport, RetrievalReport]:
    """Candidate and reference whose outcomes differ by these, class by class."""
    reference = report_of([[0.5] * len(d) for d in differences], "dml")
    return report_of([[0.5 + x for x in d] for d in differences]), reference


def judged(differences: list[list[float]], alpha: float = 0.05, **settings: Any) -> GateResult:
    candidate, reference = pair(differences)
    return judge(gate(**settings), candidate, alpha=alpha, baseline=reference)


ERROR = 0.01
"""Standard error of the difference where classes spread by 0.01·√20."""
SPREAD = ERROR * np.sqrt(20)
T = stats.t(19).ppf(0.975)


@pytest.mark.parametrize("alpha", [0.5, 0.2, 0.05])
def test_the_interval_is_that_of_the_classes_mean_differences(alpha):
    result = judged(evenly(0.03, SPREAD), alpha)
    means = [np.mean(c) for c in evenly(0.03, SPREAD)]
    assert result.value == pytest.approx(0.03)
    expected = stats.ttest_1samp(means, 0).confidence_interval(1 - alpha)
    assert (result.low, result.high) == pytest.approx(expected)
    assert (result.threshold, result.margin, result.reference) == (-0.02, 0.02, "baseline")
    assert (result.statistic, result.limit, result.slices) == ("difference", "least", ())
    assert result.confidence == 1 - alpha


def test_classes_of_different_size_have_the_ratio_estimators_interval():
    differences = [[0.1, -0.2], [0.3, 0.0, 0.1, 0.0, -0.1], [0.05], [-0.1, 0.2, 0.0]]
    result = judged(differences, 0.1)
    expected = naive_interval(differences, 0.9)
    assert (result.value, result.low, result.high) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("mean", "margin", "status", "words"),
    [
        (-0.06, 0.02, Status.FAIL, "a loss beyond the margin of 2.0"),
        (-(0.02 + T * ERROR) - 1e-6, 0.02, Status.FAIL, "a loss beyond the margin"),
        (-(0.02 + T * ERROR) + 1e-6, 0.02, Status.INCONCLUSIVE, "too narrow for 20 classes"),
        (0.06, 0.02, Status.PASS, "which is better"),
        (T * ERROR + 1e-6, 0.001, Status.PASS, "which is better"),
        (T * ERROR - 1e-6, 0.001, Status.INCONCLUSIVE, "too narrow"),
        (0.0, 2.5 * ERROR - 1e-6, Status.INCONCLUSIVE, "it needs 2.5 points, or some"),
        (0.0, 2.5 * ERROR + 1e-6, Status.PASS, "within the margin of 2.5"),
        (0.0, 0.05, Status.PASS, "within the margin of 5.0"),
        (-(0.05 - T * ERROR) + 1e-6, 0.05, Status.PASS, "within the margin"),
        (-(0.05 - T * ERROR) - 1e-6, 0.05, Status.INCONCLUSIVE, "a loss of 5.0 lies within"),
        (-0.05, 0.05, Status.INCONCLUSIVE, "more classes would tell"),
    ],
)
def test_every_rule_decides_where_it_should(mean, margin, status, words):
    result = judged(evenly(mean, SPREAD), margin=margin)
    assert result.status is status and words in result.reason
    assert result.passed is (status is Status.PASS)


def test_rules_follow_the_stated_order_on_whatever_outcomes():
    """Against the five rules written out on the naive interval; every outcome occurs."""
    rng, seen = np.random.default_rng(0), []
    for _ in range(150):
        sizes = rng.integers(1, 6, rng.integers(2, 12))
        shift, margin = rng.normal(0, 0.12), rng.uniform(0.005, 0.2)
        differences = [
            (shift + rng.normal(0, 0.03) + rng.normal(0, 0.05, n)).tolist() for n in sizes
        ]
        mean, low, high = naive_interval(differences, 0.95)
        error = (high - mean) / stats.t(len(sizes) - 1).ppf(0.975)
        if high < -margin:
            expected = "FAIL"
        elif low > 0:
            expected = "PASS"
        elif margin < 2.5 * error:
            expected = "INCONCLUSIVE"
        else:
            expected = "PASS" if low >= -margin else "INCONCLUSIVE"
        assert judged(differences, margin=margin).status == expected
        seen.append(expected)
    assert min(seen.count(status) for status in ("FAIL", "PASS", "INCONCLUSIVE")) > 5


@pytest.mark.parametrize("standard_errors", [0.0, 1.0, 4.0])
def test_the_policy_says_how_wide_a_margin_must_be(standard_errors):
    candidate, reference = pair(evenly(0.0, SPREAD))
    for margin, status in (
        (max(standard_errors, T) * ERROR + 1e-6, Status.PASS),
        (max(standard_errors, T) * ERROR - 1e-6, Status.INCONCLUSIVE),
    ):
        chosen, settings = gate(margin=margin), {"margin_standard_errors": standard_errors}
        assert judge(chosen, candidate, baseline=reference, **settings).status is status


def test_an_equal_model_with_too_few_classes_is_told_how_many_would_do():
    differences = evenly(0.0, SPREAD, classes=8)
    result = judged(differences, margin=0.02)
    needed = classes_needed(paired_difference(*pair(differences), "map_at_r"), 0.02)
    assert result.status is Status.INCONCLUSIVE and needed > 8
    assert f"some {needed} classes for an equal encoder to pass in four of five" in result.reason
    assert "too narrow for 8 classes" in result.reason
    many = evenly(0.0, SPREAD, classes=3 * needed)
    assert judged(many, margin=0.02).status is Status.PASS


def test_the_very_same_outcomes_pass():
    result = judged([[0.0, 0.0], [0.0, 0.0]])
    assert result.status is Status.PASS and (result.low, result.high) == (0.0, 0.0)


def test_the_order_of_the_queries_does_not_matter():
    candidate, reference = report_of([[0.6, 0.5], [0.4, 0.7]]), report_of([[0.5] * 2] * 2, "dml")
    shuffled = replace(reference, per_query=reference.per_query.iloc[[2, 0, 3, 1]])
    results = [judge(gate(margin=0.5), candidate, baseline=r) for r in (reference, shuffled)]
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("candidate", "references", "problem"),
    [
        (report_of([[1, 1], [1, 1]]), {}, r"no report of the baseline \(given: none\)"),
        (
            report_of([[1, 1], [1, 1]]),
            {"production": report_of([[0, 0], [0, 0]])},
            r"no report of the baseline \(given: production\)",
        ),
        (
            report_of([[1, 1], [1, 1]]),
            {"baseline": report_of([[0, 0], [0, 0]], dataset_digest="another")},
            "different datasets",
        ),
        (
            report_of([[1, 1], [1, 1, 1]]),
            {"baseline": report_of([[0, 0], [0, 0]])},
            "did not judge the same queries",
        ),
        (
            report_of([[1, 1], [1, 1]]),
            {"baseline": report_of([[0, 0, 0], [0]])},
            "did not judge the same queries",
        ),
        (
            with_metric(report_of([[1, 1], [1, 1]]), "map_at_r", None),
            {"baseline": report_of([[0, 0], [0, 0]])},
            "saga has no map_at_r",
        ),
        (
            report_of([[1, 1], [1, 1]]),
            {"baseline": with_metric(report_of([[0, 0], [0, 0]], "dml"), "map_at_r", None)},
            "dml has no map_at_r",
        ),
        (
            report_of([[1, 1], [1, 1]]),
            {"baseline": with_metric(report_of([[0, 0], [0, 0]], "dml"), "map_at_r", 0.5)},
            "0.5 in its figures and 0.0 over its queries",
        ),
        (
            without(report_of([[1, 1], [1, 1]]), "ap_at_r"),
            {"baseline": report_of([[0, 0], [0, 0]])},
            "no outcomes per query",
        ),
        (report_of([[1, 1]]), {"baseline": report_of([[0, 0]])}, "at least two"),
    ],
)
def test_reports_that_do_not_fit_together_cannot_be_judged(candidate, references, problem):
    with pytest.raises(ValueError, match=problem):
        judge(gate(), candidate, **references)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"metric": "nmi"}, "no gate may rest on it"),
        ({"margin": 0.0}, "margin must be a fraction"),
        ({"margin": 1.0}, "margin must be a fraction"),
        ({"margin": float("nan")}, "margin must be a fraction"),
        ({"metric": "worst_class_recall_at_1"}, "metric must be one of recall_at_1"),
        ({"reference": ""}, "reference must name"),
        ({"reference": "candidate"}, "reference must name another encoder"),
        ({"slicing": "class"}, "slicing: class goes with recall_at_1 alone"),
        ({"slicing": "corruption"}, "slicing: corruption goes with recall_at_1 alone"),
        ({"id": "1st"}, "id must be lower-case"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, problem):
    with pytest.raises(ValueError, match=problem):
        gate(**settings)


# How often it errs ------------------------------------------------------------------------------


def statuses(
    draws: int, mean: float, margin: float, C: int = 30, seed: int = 0, **settings
) -> list[Status]:
    """Of pairs whose true difference is `mean`; queries of a class err together.

    MAP@R's outcomes differ by a class's own share (deviation 0.05) and a query's (0.1), 6 queries
    a class: the standard error is √((0.05² + 0.1²/6)/C).
    """
    rng = np.random.default_rng(seed)
    chosen = gate(margin=margin, **settings)
    reference = report_of([[0.5] * 6] * C, "dml")
    found = []
    for _ in range(draws):
        outcomes = 0.5 + mean + rng.normal(0, 0.05, (C, 1)) + rng.normal(0, 0.1, (C, 6))
        candidate = report_of(list(outcomes.clip(0, 1)))
        found.append(judge(chosen, candidate, baseline=reference).status)
    return found


TRUE_ERROR = np.sqrt((0.05**2 + 0.1**2 / 6) / 30)


def pass_rate(mean: float, margin: float, C: int = 30, draws: int = 400_000) -> float:
    """Of the rules, from the sampling distribution of the estimate and its error alone."""
    rng = np.random.default_rng(1)
    found = rng.normal(mean, TRUE_ERROR, draws)
    error = TRUE_ERROR * np.sqrt(rng.chisquare(C - 1, draws) / (C - 1))
    low = found - stats.t(C - 1).ppf(0.975) * error
    return float(((low > 0) | ((low >= -margin) & (margin >= 2.5 * error))).mean())


def within(count: int, draws: int, rate: float) -> bool:
    low, high = stats.binom.ppf([0.001, 0.999], draws, rate)
    return low <= count <= high


@pytest.mark.parametrize("in_errors", [3.0, 5.0])
def test_an_encoder_that_is_worse_by_the_margin_passes_in_one_of_forty_cases_at_most(in_errors):
    margin, draws = in_errors * TRUE_ERROR, 200
    passes = statuses(draws, -margin, margin).count(Status.PASS)
    assert passes <= stats.binom.ppf(0.999, draws, 0.025)
    if in_errors == 5:
        assert within(passes, draws, 0.025), "here the margin is always wide enough"


def test_hits_and_misses_keep_the_error_too():
    """Recall@1: each class's rate and the candidate's loss in it scatter around the margin."""
    rng, draws, passes, margin = np.random.default_rng(4), 150, 0, 0.08
    chosen = gate(metric="recall_at_1", margin=margin)
    for _ in range(draws):
        rates = rng.uniform(0.3, 0.9, 40)
        lower = (rates - margin + rng.normal(0, 0.1, 40)).clip(0, 1)
        draw = rng.random((40, 8))  # of one query, shared: the two encoders agree on most
        reference = report_of(list((draw < rates[:, None]).astype(float)), "dml")
        candidate = report_of(list((draw < lower[:, None]).astype(float)))
        passes += judge(chosen, candidate, baseline=reference).passed
    assert passes <= stats.binom.ppf(0.999, draws, 0.025)


@pytest.mark.parametrize("in_errors", [2.6, 3.0, 4.0])
def test_an_equal_encoder_passes_as_often_as_the_rules_say(in_errors):
    margin, draws = in_errors * TRUE_ERROR, 150
    found = statuses(draws, 0.0, margin, seed=2)
    assert within(found.count(Status.PASS), draws, pass_rate(0.0, margin))
    assert found.count(Status.FAIL) == 0


def test_an_equal_encoder_is_held_up_as_undecided_where_the_margin_is_narrow():
    found = statuses(100, 0.0, TRUE_ERROR, seed=3)
    better, worse = found.count(Status.PASS), found.count(Status.FAIL)
    assert within(better, 100, 0.025), "only those that look better beyond doubt"
    assert worse <= stats.binom.ppf(0.999, 100, 0.025)
    assert found.count(Status.INCONCLUSIVE) == 100 - better - worse


def test_an_encoder_that_is_far_worse_is_told_so():
    found = statuses(40, -0.15, 0.02)
    assert found.count(Status.FAIL) == 40
