from typing import Any

import numpy as np
import pytest
from scipy import stats

from saga.gates.base import GateResult, Status
from saga.gates.value_threshold import ValueThreshold
from saga.retrieval.report import RetrievalReport
from tests.gates.made import (
    Drift,
    Measured,
    judge,
    naive_interval,
    report_of,
    with_metric,
    without,
)

# Five classes of four queries: class means 0.25, 0.5, 0.5, 0.75, 0.75; mean 0.55.
HITS = [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 0]]
CLASS_MEANS = [0.25, 0.5, 0.5, 0.75, 0.75]
SETTINGS = {"id": "floor", "metric": "recall_at_1", "on": "bound"}


def judged(
    report: RetrievalReport | None = None, alpha: float = 0.05, **settings: Any
) -> GateResult:
    return judge(ValueThreshold(**SETTINGS | settings), report or report_of(HITS), alpha=alpha)


def by_scipy(confidence: float = 0.95) -> tuple[float, float]:
    """Classes of one size: the clustered interval is the one-sample t interval of their means."""
    return stats.ttest_1samp(CLASS_MEANS, 0).confidence_interval(confidence)


@pytest.mark.parametrize("alpha", [0.5, 0.1, 0.05, 0.01])
def test_the_interval_is_that_of_the_class_means(alpha: float) -> None:
    result = judged(alpha=alpha, at_least=0.5)
    assert result.value == pytest.approx(0.55)
    assert (result.low, result.high) == pytest.approx(by_scipy(1 - alpha))
    assert (result.confidence, result.threshold, result.metric) == (1 - alpha, 0.5, "recall_at_1")
    assert (result.statistic, result.limit, result.reference) == ("bound", "least", None)


def test_classes_of_different_size_have_the_ratio_estimators_interval() -> None:
    outcomes = [[1, 0], [1, 1, 1, 0, 1], [0], [1, 1, 0]]
    result = judged(report_of(outcomes), 0.1, at_least=0.1)
    assert (result.value, result.low, result.high) == pytest.approx(naive_interval(outcomes, 0.9))


def test_the_unfavourable_end_decides_and_between_the_ends_nothing_does() -> None:
    low, high = judged(at_least=0.5).low, judged(at_least=0.5).high
    assert low is not None and high is not None
    assert (low, high) == pytest.approx(by_scipy())
    for level, at_least, at_most in (
        (0.001, Status.PASS, Status.FAIL),
        (low - 1e-9, Status.PASS, Status.FAIL),
        (low, Status.PASS, Status.INCONCLUSIVE),
        (low + 1e-9, Status.INCONCLUSIVE, Status.INCONCLUSIVE),
        (0.55, Status.INCONCLUSIVE, Status.INCONCLUSIVE),
        (high - 1e-9, Status.INCONCLUSIVE, Status.INCONCLUSIVE),
        (high, Status.INCONCLUSIVE, Status.PASS),
        (high + 1e-9, Status.FAIL, Status.PASS),
        (0.999, Status.FAIL, Status.PASS),
    ):
        for name, expected in (("at_least", at_least), ("at_most", at_most)):
            result = judged(**{name: level})
            assert result.status is expected, (name, level)
            assert result.limit == name.removeprefix("at_") and result.threshold == level


def test_the_point_decides_whatever_the_interval_and_is_never_inconclusive() -> None:
    for level, at_least, at_most in (
        (0.5, Status.PASS, Status.FAIL),
        (0.55 - 1e-9, Status.PASS, Status.FAIL),
        (0.55, Status.PASS, Status.PASS),
        (0.55 + 1e-9, Status.FAIL, Status.PASS),
        (0.9, Status.FAIL, Status.PASS),
    ):
        for name, expected in (("at_least", at_least), ("at_most", at_most)):
            result = judged(on="point", **{name: level})
            assert result.status is expected and result.statistic == "point"
            assert (result.low, result.high) == pytest.approx(by_scipy())


def test_the_metric_asked_for_is_the_one_judged() -> None:
    for on in ("point", "bound"):
        assert judged(metric="recall_at_4", at_least=1.0, on=on).status is Status.PASS
    report = report_of([[0.2, 0.4], [0.6, 0.8]])
    result = judged(report, metric="map_at_r", at_least=0.5, on="point")
    assert result.value == pytest.approx(0.5) and result.status is Status.PASS


def test_flips_against_a_reference_have_a_bound() -> None:
    hits = [[1, 0], [1, 1], [1, 0], [1, 1], [1, 1], [1, 1]]
    ours, theirs = report_of(hits), report_of([[1, 1]] * 6)
    settings = {"id": "flips", "metric": "negative_flip_rate", "reference": "production"}
    _, low, high = naive_interval([[1 - h for h in c] for c in hits], 0.95)
    for level, on, status in (
        (1 / 6, "point", Status.PASS),
        (0.16, "point", Status.FAIL),
        (high + 1e-9, "bound", Status.PASS),
        (high - 1e-9, "bound", Status.INCONCLUSIVE),
    ):
        gate = ValueThreshold(**settings, at_most=level, on=on)
        result = judge(gate, ours, production=theirs)
        assert result.status is status and result.reference == "production"
        assert (result.value, result.low, result.high) == pytest.approx((1 / 6, low, high))


def test_figures_without_outcomes_are_points() -> None:
    measured = {"candidate": Measured({"encode_ms_p95": 12.0})}
    for level, status in ((12.0, Status.PASS), (11.9, Status.FAIL)):
        gate = ValueThreshold(id="slow", metric="encode_ms_p95", at_most=level, on="point")
        result = judge(gate, report_of(HITS), measurements=measured)
        assert (result.status, result.value, result.low) == (status, 12, None)
        assert result.confidence is None
    quiet = ValueThreshold(id="drift", metric="drift_warnings", at_most=0, on="point")
    assert judge(quiet, report_of(HITS), drift=Drift()).passed
    assert judge(quiet, report_of(HITS), drift=Drift(warnings=("one",))).status is Status.FAIL
    worst = ValueThreshold(id="worst", metric="worst_class_recall_at_1", at_least=0.25, on="point")
    assert judge(worst, report_of(HITS)).passed
    assert not judge(worst, report_of([[0], *HITS])).passed


@pytest.mark.parametrize("on", ["bound", "point"])
@pytest.mark.parametrize(
    ("report", "problem"),
    [
        (with_metric(report_of(HITS), "recall_at_1", None), "has no recall_at_1"),
        (with_metric(report_of(HITS), "recall_at_1", float("nan")), "not a rate"),
        (with_metric(report_of(HITS), "recall_at_1", 1.01), "not a rate"),
        (with_metric(report_of(HITS), "recall_at_1", -0.1), "not a rate"),
        (with_metric(report_of(HITS), "recall_at_1", 0.56), "0.56 in its figures and 0.55"),
        (without(report_of(HITS), "hit_at_1"), "no outcomes per query"),
        (report_of([[1, 0, 1]]), "at least two"),
        (report_of([[1, 0], [float("nan"), 1]]), "nan over its queries"),
    ],
)
def test_what_cannot_be_judged_is_an_error_of_the_figures(
    on: str, report: RetrievalReport, problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        judged(report, at_least=0.01, on=on)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"metric": "nmi"}, "nmi moves by several points with the seed"),
        ({"metric": "recall_at_3"}, "metric must be one of recall_at_1"),
        ({"at_least": None}, "give one of at_least and at_most"),
        ({"at_most": 0.9}, "give one of at_least and at_most"),
        ({"at_least": 0.0}, "at_least must be a fraction above 0"),
        ({"at_least": 1.5}, "at_least must be a fraction above 0"),
        ({"at_least": float("nan")}, "at_least must be a fraction above 0"),
        ({"at_least": None, "at_most": 1.0}, "at_most must be a fraction from 0 and below 1"),
        ({"at_least": None, "at_most": -0.1}, "at_most must be a fraction from 0 and below 1"),
        ({"metric": "reload_agreement", "at_least": 100, "on": "point"}, "must be a fraction"),
        ({"metric": "worst_class_recall_at_1", "at_least": 5, "on": "point"}, "be a fraction"),
        ({"metric": "worst_class_recall_at_1"}, "no outcome per query, hence no bound; use point"),
        ({"metric": "embedding_width"}, "no outcome per query, hence no bound"),
        ({"metric": "drift.auc"}, "no outcome per query, hence no bound"),
        ({"reference": "baseline"}, "reference is given for negative_flip_rate"),
        ({"metric": "negative_flip_rate"}, "reference is given for negative_flip_rate"),
        ({"metric": "negative_flip_rate", "reference": "candidate"}, "another encoder"),
        ({"id": "Recall Floor"}, "id must be lower-case"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ValueThreshold(**SETTINGS | {"at_least": 0.5} | settings)


def test_the_reason_is_a_sentence_with_the_figures() -> None:
    low, high = by_scipy()
    assert judged(at_least=0.5).reason == (
        f"Recall@1 is 55.0 % (95.0 % interval {100 * low:.1f} % to {100 * high:.1f} %), within "
        "which at least 50.0 % lies: more classes would tell."
    )
    assert "even whose unfavourable end is at least 10.0 %." in judged(at_least=0.1).reason
    assert "even whose favourable end is not at most 10.0 %." in judged(at_most=0.1).reason
    assert judged(at_least=0.6, on="point").reason.endswith(", not at least 60.0 %.")
    assert judged(at_most=0.6, on="point").reason.endswith(", which is at most 60.0 %.")


def test_an_encoder_at_the_level_passes_as_seldom_as_alpha_says() -> None:
    """40 classes whose true rates scatter around the level: 2.5 % of the judgements may pass."""
    rng, level, draws = np.random.default_rng(3), 0.6, 120
    passes = {"at_least": 0, "at_most": 0}
    for _ in range(draws):
        rates = rng.beta(6, 4, 40)
        report = report_of(list(rng.binomial(1, rates[:, None], (40, 8))))
        for name in passes:
            passes[name] += judged(report, **{name: level}).passed
    for name, count in passes.items():
        assert count <= stats.binom.ppf(0.999, draws, 0.025), name
        assert count > 0, "a gate that never opens proves nothing here"
