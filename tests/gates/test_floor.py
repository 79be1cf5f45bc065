from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from saga.gates.base import Evidence, GateResult, Status
from saga.gates.floor import Floor
from tests.gates.made import naive_interval, report_of, with_metric, without

# Five classes of four queries: class means 0.25, 0.5, 0.5, 0.75, 0.75; mean 0.55.
HITS = [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 0]]
CLASS_MEANS = [0.25, 0.5, 0.5, 0.75, 0.75]


def judged(threshold: float, statistic: str, report=None, **settings) -> GateResult:
    gate = Floor(
        id="floor",
        metric=settings.pop("metric", "recall_at_1"),
        threshold=threshold,
        statistic=statistic,  # type: ignore[arg-type]
        **settings,
    )
    return gate.judge(Evidence(report or report_of(HITS)))


def by_scipy(confidence: float = 0.95) -> tuple[float, float]:
    """Classes of one size: the clustered interval is the one-sample t interval of their means."""
    return stats.ttest_1samp(CLASS_MEANS, 0).confidence_interval(confidence)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99])
def test_the_interval_is_that_of_the_class_means(confidence):
    result = judged(0.5, "lower_bound", confidence=confidence)
    assert result.value == pytest.approx(0.55)
    assert (result.low, result.high) == pytest.approx(by_scipy(confidence))
    assert (result.confidence, result.threshold, result.metric) == (confidence, 0.5, "recall_at_1")


def test_classes_of_different_size_have_the_ratio_estimators_interval():
    outcomes = [[1, 0], [1, 1, 1, 0, 1], [0], [1, 1, 0]]
    result = judged(0.1, "lower_bound", report_of(outcomes), confidence=0.9)
    assert (result.value, result.low, result.high) == pytest.approx(naive_interval(outcomes, 0.9))


def test_the_lower_bound_decides_and_between_the_ends_nothing_does():
    low, high = judged(0.5, "lower_bound").low, judged(0.5, "lower_bound").high
    assert (low, high) == pytest.approx(by_scipy())
    for threshold, status in (
        (0.001, Status.PASS),
        (low - 1e-9, Status.PASS),
        (low, Status.PASS),
        (low + 1e-9, Status.INCONCLUSIVE),
        (0.55, Status.INCONCLUSIVE),
        (high, Status.INCONCLUSIVE),
        (high + 1e-9, Status.FAIL),
        (1.0, Status.FAIL),
    ):
        result = judged(threshold, "lower_bound")
        assert result.status is status and result.passed is (status is Status.PASS)


def test_the_point_decides_whatever_the_interval_and_is_never_inconclusive():
    for threshold, status in (
        (0.5, Status.PASS),
        (0.55, Status.PASS),
        (0.55 + 1e-9, Status.FAIL),
        (0.9, Status.FAIL),
    ):
        result = judged(threshold, "point")
        assert result.status is status and result.statistic == "point"
        assert (result.low, result.high) == pytest.approx(by_scipy())


def test_the_metric_asked_for_is_the_one_judged():
    assert judged(1.0, "point", metric="recall_at_4").status is Status.PASS
    assert judged(1.0, "lower_bound", metric="recall_at_4").status is Status.PASS
    report = report_of([[0.2, 0.4], [0.6, 0.8]])
    result = judged(0.5, "point", report, metric="map_at_r")
    assert result.value == pytest.approx(0.5) and result.status is Status.PASS


@pytest.mark.parametrize("statistic", ["lower_bound", "point"])
@pytest.mark.parametrize(
    ("report", "problem"),
    [
        (with_metric(report_of(HITS), "recall_at_1", None), "has no recall_at_1"),
        (with_metric(report_of(HITS), "recall_at_1", float("nan")), "not a rate"),
        (with_metric(report_of(HITS), "recall_at_1", 1.01), "not a rate"),
        (with_metric(report_of(HITS), "recall_at_1", -0.1), "not a rate"),
        (with_metric(report_of(HITS), "recall_at_1", 0.56), "0.56 in its figures and 0.55 over"),
        (without(report_of(HITS), "hit_at_1"), "no outcomes per query"),
        (report_of([[1, 0, 1]]), "at least two"),
        (report_of([[1, 0], [float("nan"), 1]]), "not a rate|missing"),
    ],
)
def test_what_cannot_be_judged_is_an_error_of_the_figures(statistic, report, problem):
    with pytest.raises(ValueError, match=problem):
        judged(0.01, statistic, report)


def test_outcomes_of_an_image_that_is_judged_twice_are_refused():
    report = report_of(HITS)
    frame = report.per_query.assign(image_id="the same")
    with pytest.raises(ValueError, match="twice"):
        judged(0.01, "point", replace(report, per_query=frame))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"metric": "nmi"}, "nmi moves by several points with the seed"),
        ({"metric": "recall_at_3"}, "metric must be one of recall_at_1"),
        ({"threshold": 0.0}, "threshold must be a fraction above 0"),
        ({"threshold": 1.5}, "threshold must be a fraction above 0"),
        ({"threshold": float("nan")}, "threshold must be a fraction above 0"),
        ({"confidence": 1.0}, "confidence must be in"),
        ({"confidence": 0.4}, "confidence must be in"),
        ({"confidence": 95}, "confidence must be in"),
        ({"id": "Recall Floor"}, "id must be lower-case"),
        ({"id": ""}, "id must be lower-case"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, problem):
    good = {"id": "a", "metric": "recall_at_1", "threshold": 0.5, "statistic": "point"}
    with pytest.raises(ValueError, match=problem):
        Floor(**good | settings)


def test_the_reason_is_a_sentence_with_the_figures():
    reason = judged(0.5, "lower_bound").reason
    low, high = by_scipy()
    assert reason == (
        f"Recall@1 is 55.0 % (95.0 % interval {100 * low:.1f} % to {100 * high:.1f} %), which the "
        "floor of 50.0 % lies within: more classes would tell."
    )


def test_an_encoder_at_the_floor_passes_as_seldom_as_the_confidence_says():
    """40 classes whose true rates scatter around the floor: 2.5 % of the judgements may pass."""
    rng, floor, passes, draws = np.random.default_rng(3), 0.6, 0, 300
    gate = Floor(id="a", metric="recall_at_1", threshold=floor, statistic="lower_bound")
    for _ in range(draws):
        rates = rng.beta(6, 4, 40)
        report = report_of(list(rng.binomial(1, rates[:, None], (40, 8))))
        passes += gate.judge(Evidence(report)).passed
    assert passes <= stats.binom.ppf(0.999, draws, 0.025)
    assert passes > 0, "a gate that never opens proves nothing here"
