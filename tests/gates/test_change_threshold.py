"""A change against a reference, in the metric's unit or as a share, on the point or the bound."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from saga.gates.base import GateResult, Status
from saga.gates.change_threshold import ChangeThreshold
from tests.gates.made import Measured, evenly, judge, report_of, with_outcomes

ERROR = 0.01
SPREAD = ERROR * np.sqrt(20)
T = float(stats.t(19).ppf(0.975))
CANDIDATE = report_of([[0.5] * 3] * 20)
REFERENCE = report_of([[0.5] * 3] * 20, "old")


def slower(ours: float, theirs: float = 10.0, **settings: Any) -> GateResult:
    """Of an encoder that takes so many milliseconds."""
    measured = {
        "candidate": Measured({"encode_ms_p95": ours}),
        "production": Measured({"encode_ms_p95": theirs}),
    }
    gate = ChangeThreshold(**{"id": "latency", "metric": "encode_ms_p95"} | settings)
    return judge(gate, CANDIDATE, measurements=measured)


def changed(mean: float, alpha: float = 0.05, **settings: Any) -> GateResult:
    """Of an encoder whose MAP@R differs by this on average."""
    candidate = with_outcomes(REFERENCE, "map_at_r", evenly(mean, SPREAD))
    gate = ChangeThreshold(**{"id": "change", "metric": "map_at_r"} | settings)
    return judge(gate, candidate, alpha=alpha, production=REFERENCE)


@pytest.mark.parametrize(
    ("settings", "passing", "failing"),
    [
        ({"at_most": 5.0}, (0.0, 10.0, 15.0), (15.01, 40.0)),
        ({"at_least": -5.0}, (5.0, 10.0, 99.0), (4.99, 0.0)),
        ({"at_least": -5.0, "at_most": 5.0}, (5.0, 10.0, 15.0), (4.99, 15.01)),
        ({"at_most": 0.5, "relative": True}, (0.0, 15.0), (15.1, 40.0)),
        ({"at_least": -0.1, "relative": True}, (9.0, 30.0), (8.9, 0.0)),
        ({"at_most": 0.0}, (10.0, 9.0), (10.01,)),
    ],
)
def test_the_point_decides_and_the_level_itself_is_allowed(
    settings: dict[str, Any], passing: tuple[float, ...], failing: tuple[float, ...]
) -> None:
    for ours in passing:
        assert slower(ours, **settings).status is Status.PASS, ours
    for ours in failing:
        assert slower(ours, **settings).status is Status.FAIL, ours


def test_rounding_does_not_decide() -> None:
    for theirs in np.linspace(0.11, 3, 200):
        assert slower(theirs + 0.1, theirs, at_most=0.1, at_least=0.1).passed


def test_the_unfavourable_end_decides_on_the_bound() -> None:
    for mean, at_least, both in (
        (-0.05 + T * ERROR + 1e-6, Status.PASS, Status.PASS),
        (-0.05 + T * ERROR - 1e-6, Status.INCONCLUSIVE, Status.INCONCLUSIVE),
        (-0.05 - T * ERROR + 1e-6, Status.INCONCLUSIVE, Status.INCONCLUSIVE),
        (-0.05 - T * ERROR - 1e-6, Status.FAIL, Status.FAIL),
        (0.05 - T * ERROR - 1e-6, Status.PASS, Status.PASS),
        (0.05 - T * ERROR + 1e-6, Status.PASS, Status.INCONCLUSIVE),
        (0.05 + T * ERROR + 1e-6, Status.PASS, Status.FAIL),
    ):
        assert changed(mean, at_least=-0.05, on="bound").status is at_least, mean
        assert changed(mean, at_least=-0.05, at_most=0.05, on="bound").status is both, mean
    assert changed(-0.049, at_least=-0.05).status is Status.PASS, "on the point"


@pytest.mark.parametrize("alpha", [0.05, 0.3])
def test_the_bound_is_the_end_of_the_paired_interval(alpha: float) -> None:
    result = changed(0.01, alpha, at_least=-0.1, on="bound")
    means = [np.mean(c) for c in evenly(0.01, SPREAD)]
    expected = stats.ttest_1samp(means, 0).confidence_interval(1 - alpha)
    assert (result.low, result.high) == pytest.approx(expected)
    assert (result.value, result.confidence) == (pytest.approx(0.01), 1 - alpha)
    point = changed(0.01, alpha, at_least=-0.1)
    assert (point.low, point.high, point.confidence) == (None, None, None)


def test_the_result_names_the_level_that_is_nearer() -> None:
    for ours, threshold, limit in ((12.0, 5.0, "most"), (6.0, -5.0, "least"), (40.0, 5.0, "most")):
        result = slower(ours, at_least=-5.0, at_most=5.0)
        assert (result.threshold, result.limit) == (threshold, limit)
    assert (slower(1, at_most=5.0).threshold, slower(1, at_most=5.0).limit) == (5, "most")
    assert slower(1, at_least=-5.0).limit == "least"


def test_the_reason_says_both_figures_and_the_change() -> None:
    assert slower(16.0, at_most=0.5, relative=True).reason == (
        "The 95th percentile of the time to encode an image is 16.0 ms, production has 10.0 ms: a "
        "change of +60 %; allowed is at most +50 %."
    )
    assert changed(-0.02, at_least=-0.1, at_most=0.1, on="bound").reason == (
        "MAP@R is 48.0 %, production has 50.0 %: a change of -2.0 points (-4.1 points to +0.1 "
        "points); allowed is at least -10.0 points and at most +10.0 points."
    )


def test_the_worst_class_may_be_compared() -> None:
    ours, theirs = report_of([[1, 0, 0, 0], [1, 1]]), report_of([[1, 1, 0, 0], [1, 1]])
    settings = {"id": "worst", "metric": "worst_class_recall_at_1", "reference": "baseline"}
    for at_least, status in ((-0.25, Status.PASS), (-0.24, Status.FAIL)):
        result = judge(ChangeThreshold(**settings, at_least=at_least), ours, baseline=theirs)
        assert result.status is status and "a change of -25.0 points" in result.reason


@pytest.mark.parametrize(
    ("measured", "problem"),
    [
        ({}, "encode_ms_p95 of the candidate was not measured"),
        (
            {"candidate": Measured({"encode_ms_p95": 1.0})},
            "encode_ms_p95 of the production was not measured",
        ),
        (
            {
                "candidate": Measured({"encode_ms_p95": 1.0}),
                "production": Measured({"encode_ms_p95": 0.0}),
            },
            "of the production is 0: no share of it exists",
        ),
        (
            {
                "candidate": Measured({"encode_ms_p95": float("nan")}),
                "production": Measured({"encode_ms_p95": 1.0}),
            },
            "is nan, which is not a number",
        ),
    ],
)
def test_what_is_missing_cannot_be_judged(measured: dict[str, Measured], problem: str) -> None:
    gate = ChangeThreshold(id="a", metric="encode_ms_p95", at_most=0.5, relative=True)
    with pytest.raises(ValueError, match=problem):
        judge(gate, CANDIDATE, measurements=measured)


def test_reports_of_other_queries_or_data_cannot_be_compared() -> None:
    settings = {"id": "a", "metric": "map_at_r", "at_least": -0.1}
    for on in ("point", "bound"):
        gate = ChangeThreshold(**settings, on=on)
        with pytest.raises(ValueError, match="no report of the production"):
            judge(gate, REFERENCE)
        other = report_of([[0.5] * 3] * 20, dataset_digest="another")
        with pytest.raises(ValueError, match="different datasets"):
            judge(gate, REFERENCE, production=other)
    with pytest.raises(ValueError, match="did not judge the same queries"):
        judge(gate, REFERENCE, production=report_of([[0.5] * 4] * 20))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"metric": "nmi"}, "nmi moves by several points"),
        ({"metric": "speed"}, "metric must be one of recall_at_1"),
        ({"metric": "negative_flip_rate"}, "metric: negative_flip_rate compares two encoders"),
        ({"metric": "drift_warnings"}, "metric: drift_warnings compares two encoders"),
        ({"metric": "drift.auc"}, "metric: drift.auc compares two encoders"),
        ({"at_most": None}, "give at_least, at_most or both"),
        ({"at_least": 0.2}, "at_least 0.2 is above at_most 0.1"),
        ({"at_most": 2.0}, r"the change of a rate is a fraction in \(-1, 1\), got 2.0"),
        ({"at_least": -5.0}, "the change of a rate is a fraction in"),
        ({"at_most": float("nan")}, "the change of a rate is a fraction in"),
        ({"on": "bound", "relative": True}, "on: a bound needs a metric with outcomes"),
        ({"on": "bound", "metric": "encode_ms_p50"}, "on: a bound needs a metric with outcomes"),
        ({"reference": "candidate"}, "reference must name another encoder"),
        ({"reference": ""}, "reference must name another encoder"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ChangeThreshold(**{"id": "a", "metric": "map_at_r", "at_most": 0.1} | settings)


def test_shares_and_other_units_may_exceed_one() -> None:
    assert ChangeThreshold(id="a", metric="map_at_r", at_most=2.0, relative=True).at_most == 2
    assert slower(300.0, 100.0, at_most=2.0, relative=True).passed
