"""Better beyond chance in one metric, or in any of several after Holm's correction."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from saga.gates.base import GateResult, Status
from saga.gates.superiority import Superiority
from saga.retrieval.report import RetrievalReport
from tests.gates.made import (
    evenly,
    judge,
    report_of,
    with_metric,
    with_outcomes,
    without,
)
from tests.retrieval.test_multiplicity import naive_holm

ERROR = 0.01
"""Standard error of a difference whose classes spread by 0.01·√20."""
SPREAD = ERROR * np.sqrt(20)
REFERENCE = report_of([[0.5] * 3] * 20, "dml")


def reach(tests: int = 1, alpha: float = 0.05) -> float:
    """In standard errors, where a one-sided t of 20 classes reaches alpha / 2 by Bonferroni."""
    return float(stats.t(19).isf(alpha / 2 / tests))


def gate(**settings: Any) -> Superiority:
    if "any_of" not in settings:
        settings = {"metric": "map_at_r"} | settings
    return Superiority(**{"id": "better"} | settings)


def better_by(**means: float) -> RetrievalReport:
    """A candidate whose metrics differ from the reference's by these, with one standard error."""
    report = report_of([[0.5] * 3] * 20)
    for i, (metric, mean) in enumerate(means.items()):
        report = with_outcomes(report, metric, evenly(mean, SPREAD, order=i))
    return report


def judged(alpha: float = 0.05, settings: Any = None, **means: float) -> GateResult:
    return judge(gate(**settings or {}), better_by(**means), alpha=alpha, baseline=REFERENCE)


@pytest.mark.parametrize("margin", [0.0, 0.03])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_each_status_begins_where_it_should(margin: float, alpha: float) -> None:
    T = reach(alpha=alpha)
    for mean, status, words in (
        (margin + 3 * T * ERROR, Status.PASS, "which is better beyond chance"),
        (margin + T * ERROR + 1e-6, Status.PASS, "which is better beyond chance"),
        (margin + T * ERROR - 1e-6, Status.INCONCLUSIVE, "more classes would tell"),
        (margin, Status.INCONCLUSIVE, "may be chance"),
        (margin - T * ERROR + 1e-6, Status.INCONCLUSIVE, "may be chance"),
        (margin - T * ERROR - 1e-6, Status.FAIL, "which is not better"),
        (margin - 3 * T * ERROR, Status.FAIL, "which is not better"),
    ):
        result = judged(alpha, {"margin": margin}, map_at_r=mean)
        assert result.status is status and words in result.reason, mean
        assert result.passed is (status is Status.PASS)


def test_the_result_has_the_paired_interval() -> None:
    result = judged(settings={"margin": 0.01}, map_at_r=0.04)
    means = [np.mean(c) for c in evenly(0.04, SPREAD)]
    interval = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    assert result.value == pytest.approx(0.04)
    assert (result.low, result.high) == pytest.approx(interval)
    assert (result.metric, result.statistic, result.limit) == ("map_at_r", "difference", "least")
    assert (result.threshold, result.margin, result.confidence) == (0.01, 0.01, 0.95)
    chance = stats.ttest_1samp(means, 0.01, alternative="greater").pvalue
    assert result.reason == (
        f"Against baseline, in points: MAP@R +4.0 (+{100 * interval[0]:.1f} to "
        f"+{100 * interval[1]:.1f}), wanted above +1.0; p = {chance:.3g}, which is better beyond "
        "chance."
    )


@pytest.mark.parametrize("metrics", [2, 3, 4])
def test_with_any_of_several_the_best_must_be_better_by_more(metrics: int) -> None:
    """Only the best counts where the others show nothing: Holm is Bonferroni there."""
    names = ("recall_at_1", "map_at_r", "recall_at_4", "recall_at_2")[:metrics]
    report = with_outcomes(REFERENCE, "recall_at_2", [[0.0] * 3] * 20)
    for step, status in ((1e-6, Status.PASS), (-1e-6, Status.INCONCLUSIVE)):
        candidate = report
        for i, name in enumerate(names):
            mean = reach(metrics) * ERROR + step if name == "map_at_r" else 0.0
            start = report.per_query[
                {"map_at_r": "ap_at_r"}.get(name, name.replace("recall", "hit"))
            ]
            candidate = with_outcomes(
                candidate, name, evenly(mean, SPREAD, order=i), shift=float(start.iloc[0])
            )
        result = judge(gate(any_of=names), candidate, baseline=report)
        assert result.status is status and result.metric == "map_at_r"
        assert "corrected for any of several" in result.reason
    alone = judge(gate(metric="map_at_r"), candidate, baseline=report)
    assert alone.status is Status.PASS and "corrected" not in alone.reason


@pytest.mark.parametrize("seed", range(10))
def test_any_of_is_holm_by_hand(seed: int) -> None:
    rng = np.random.default_rng(seed)
    means = dict(zip(("recall_at_1", "map_at_r"), rng.normal(0.022, 0.008, 2).tolist()))
    raw = [
        stats.ttest_1samp([np.mean(c) for c in evenly(m, SPREAD)], 0, alternative="greater").pvalue
        for m in means.values()
    ]
    adjusted = naive_holm(raw)
    result = judged(settings={"any_of": tuple(means)}, **means)
    assert result.passed == (min(adjusted) <= 0.025)
    assert f"p = {min(adjusted):.3g}, corrected" in result.reason
    assert result.metric == list(means)[int(np.argmin(raw))]
    assert result.value == pytest.approx(means[result.metric])


def test_two_that_would_pass_alone_may_both_fall_to_the_correction() -> None:
    mean = (reach(1) + reach(2)) / 2 * ERROR
    both = {"recall_at_1": mean, "map_at_r": mean}
    for metric in both:
        assert judged(settings={"metric": metric}, **both).status is Status.PASS
    assert judged(settings={"any_of": tuple(both)}, **both).status is Status.INCONCLUSIVE


def test_any_of_fails_only_where_every_metric_is_not_better() -> None:
    worse, open_ = -3 * reach() * ERROR, 0.0
    any_of = {"any_of": ("recall_at_1", "map_at_r")}
    for first, second, status in (
        (worse, worse, Status.FAIL),
        (worse, open_, Status.INCONCLUSIVE),
        (open_, worse, Status.INCONCLUSIVE),
        (worse, -worse, Status.PASS),
    ):
        assert judged(settings=any_of, recall_at_1=first, map_at_r=second).status is status


def test_the_very_same_outcomes_are_not_better() -> None:
    assert judge(gate(), REFERENCE, baseline=REFERENCE).status is Status.FAIL


def test_equal_encoders_pass_as_seldom_as_alpha_says() -> None:
    """Two metrics that lean together; queries of a class do too. At 0.2, at most a tenth."""
    rng, draws, passes, best_alone = np.random.default_rng(6), 100, 0, 0
    chosen = gate(any_of=("recall_at_1", "map_at_r"))
    reference = report_of([[0.5] * 4] * 25, "dml")
    for _ in range(draws):
        shared = rng.normal(0, 0.03, (25, 1)) + rng.normal(0, 0.05, (25, 4))
        candidate, chances = reference, []
        for metric in chosen.metrics:
            own = shared + rng.normal(0, 0.05, (25, 1)) + rng.normal(0, 0.05, (25, 4))
            candidate = with_outcomes(candidate, metric, list(own))
            chances.append(stats.ttest_1samp(own.mean(1), 0, alternative="greater").pvalue)
        passes += judge(chosen, candidate, alpha=0.2, baseline=reference).passed
        best_alone += min(chances) <= 0.1
    assert 0 < passes <= stats.binom.ppf(0.999, draws, 0.1)
    assert best_alone > passes, "without the correction it errs more often"


@pytest.mark.parametrize(
    ("candidate", "references", "problem"),
    [
        (REFERENCE, {}, "no report of the baseline"),
        (
            REFERENCE,
            {"baseline": report_of([[0.5] * 3] * 20, dataset_digest="x")},
            "different datasets",
        ),
        (REFERENCE, {"baseline": report_of([[0.5] * 4] * 20)}, "did not judge the same queries"),
        (with_metric(REFERENCE, "map_at_r", None), {"baseline": REFERENCE}, "dml has no map_at_r"),
        (with_metric(REFERENCE, "map_at_r", 0.6), {"baseline": REFERENCE}, "0.6 in its figures"),
        (REFERENCE, {"baseline": with_metric(REFERENCE, "map_at_r", 0.4)}, "0.4 in its figures"),
        (without(REFERENCE, "ap_at_r"), {"baseline": REFERENCE}, "no outcomes per query"),
        (report_of([[1, 1]]), {"baseline": report_of([[0, 0]])}, "at least two"),
    ],
)
def test_reports_that_do_not_fit_together_cannot_be_judged(
    candidate: RetrievalReport, references: dict[str, RetrievalReport], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        judge(gate(any_of=("recall_at_1", "map_at_r")), candidate, **references)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"metric": None}, "give one of metric and any_of"),
        ({"metric": "map_at_r", "any_of": ("recall_at_1", "map_at_r")}, "give one of metric and"),
        ({"any_of": ("map_at_r",)}, "any_of names two or more metrics"),
        ({"any_of": ("map_at_r", "map_at_r")}, "any_of names two or more metrics, each once"),
        ({"any_of": ("map_at_r", "nmi")}, "nmi moves by several points"),
        ({"metric": "nmi"}, "nmi moves by several points"),
        ({"metric": "encode_ms_p50"}, "metric must be one of recall_at_1"),
        ({"margin": -0.01}, "margin must be a fraction in"),
        ({"margin": 1.0}, "margin must be a fraction in"),
        ({"margin": float("nan")}, "margin must be a fraction in"),
        ({"reference": ""}, "reference must name another encoder"),
        ({"reference": "candidate"}, "reference must name another encoder"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        gate(**settings)
