from typing import Any

import pytest

from saga.gates.base import Status
from saga.gates.equals import Equals
from tests.gates.made import Drift, Measured, judge, report_of

REPORT = report_of([[1, 0], [1, 1]])


def measured(**figures: float) -> dict[str, Measured]:
    return {role: Measured({"embedding_width": width}) for role, width in figures.items()}


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (1.0, Status.PASS),
        (1.0 - 1e-12, Status.PASS),
        (0.999, Status.FAIL),
        (1.0 - 1e-6, Status.FAIL),
        (0.0, Status.FAIL),
    ],
)
def test_a_value_is_equal_up_to_rounding(value: float, status: Status) -> None:
    gate = Equals(id="same", metric="reload_agreement", value=1.0)
    result = judge(gate, REPORT, measurements={"candidate": Measured({"reload_agreement": value})})
    assert result.status is status and result.value == value
    assert (result.threshold, result.limit, result.statistic) == (1, None, "point")


def test_a_wanted_zero_is_met_by_zero() -> None:
    gate = Equals(id="quiet", metric="drift_warnings", value=0)
    assert judge(gate, REPORT, drift=Drift()).passed
    assert judge(gate, REPORT, drift=Drift(warnings=("x",))).status is Status.FAIL


@pytest.mark.parametrize(("width", "status"), [(64, Status.PASS), (65, Status.FAIL)])
def test_the_references_figure_is_what_is_wanted(width: int, status: Status) -> None:
    gate = Equals(id="width", metric="embedding_width", reference="production")
    result = judge(gate, REPORT, measurements=measured(candidate=width, production=64))
    assert result.status is status
    assert (result.value, result.threshold, result.reference) == (width, 64, "production")
    assert result.reason == (
        f"The embedding width is {width}, which is {'' if width == 64 else 'not '}the wanted 64, as "
        "production has."
    )


def test_reports_may_be_compared_too() -> None:
    gate = Equals(id="same", metric="recall_at_1", reference="baseline")
    assert judge(gate, REPORT, baseline=report_of([[0, 1], [1, 1]])).passed
    assert not judge(gate, REPORT, baseline=report_of([[0, 0], [1, 1]])).passed
    assert judge(Equals(id="a", metric="recall_at_1", value=0.75), REPORT).passed


@pytest.mark.parametrize("given", [{}, {"candidate": 64}, {"production": 64}])
def test_a_figure_that_is_missing_cannot_be_judged(given: dict[str, float]) -> None:
    gate = Equals(id="width", metric="embedding_width", reference="production")
    with pytest.raises(ValueError, match="was not measured"):
        judge(gate, REPORT, measurements=measured(**given))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"metric": "nmi"}, "nmi moves by several points"),
        ({"metric": "width"}, "metric must be one of recall_at_1"),
        ({"metric": "negative_flip_rate"}, "compares two encoders already"),
        ({"value": None}, "give one of value and reference"),
        ({"reference": "production"}, "give one of value and reference"),
        ({"value": None, "reference": "candidate"}, "reference must name another encoder"),
        ({"value": None, "reference": ""}, "reference must name another encoder"),
        (
            {"metric": "drift_warnings", "value": None, "reference": "production"},
            "reference: drift",
        ),
        ({"metric": "drift.auc", "value": None, "reference": "production"}, "reference: drift.auc"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], problem: str) -> None:
    """A figure of the drift report has no reference: compared with itself it would always pass."""
    with pytest.raises(ValueError, match=problem):
        Equals(**{"id": "a", "metric": "embedding_width", "value": 64.0} | settings)
