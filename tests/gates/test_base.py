"""What every gate has: its name, its settings, and what its outcome does to a decision."""

import itertools
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from saga.gates.base import (
    Effect,
    Evidence,
    Gate,
    GateResult,
    MissingMetricError,
    Statistics,
    Status,
    percent,
    points,
)
from tests.gates.made import report_of

SEVERITIES, ON_INCONCLUSIVE, ON_MISSING = (
    ("block", "warn"),
    ("block", "warn", "pass"),
    ("block", "warn"),
)


@dataclass(frozen=True, kw_only=True)
class Fixed(Gate):
    """Says what it is told to."""

    test: ClassVar[str] = "fixed"
    status: Status = Status.PASS
    reference: str | None = None

    def judge(self, evidence: Evidence, statistics: Statistics) -> GateResult:
        return self.result(self.status, "as told")


def gate(**settings: Any) -> Fixed:
    return Fixed(**{"id": "fixed"} | settings)


BLOCKING = {
    (Status.PASS, "block"): Effect.NONE,
    (Status.FAIL, "block"): Effect.BLOCKS,
    (Status.INCONCLUSIVE, "block"): Effect.BLOCKS,
    (Status.INCONCLUSIVE, "warn"): Effect.WARNS,
    (Status.INCONCLUSIVE, "pass"): Effect.NONE,
    (Status.ERROR, "block"): Effect.BLOCKS,
    (Status.ERROR, "warn"): Effect.WARNS,
}
"""Of a gate that blocks, by its status and the setting for that status."""


@pytest.mark.parametrize(
    ("status", "severity", "on_inconclusive", "on_missing"),
    itertools.product(Status, SEVERITIES, ON_INCONCLUSIVE, ON_MISSING),
)
def test_an_outcome_blocks_warns_or_does_nothing_as_the_settings_say(
    status: Status, severity: str, on_inconclusive: str, on_missing: str
) -> None:
    made = gate(severity=severity, on_inconclusive=on_inconclusive, on_missing_metric=on_missing)
    chosen = {Status.INCONCLUSIVE: on_inconclusive, Status.ERROR: on_missing}.get(status, "block")
    expected = BLOCKING[status, chosen]
    if severity == "warn" and expected is Effect.BLOCKS:
        expected = Effect.WARNS
    assert made.effect(status, missing=True) is expected


@pytest.mark.parametrize(("severity", "effect"), [("block", "blocks"), ("warn", "warns")])
def test_broken_evidence_is_not_softened_as_missing_evidence_is(severity: str, effect: str) -> None:
    made = gate(severity=severity, on_missing_metric="warn")
    assert made.effect(Status.ERROR) == effect


def test_without_settings_all_but_a_pass_blocks() -> None:
    assert {s: gate().effect(s) for s in Status} == {
        Status.PASS: Effect.NONE,
        Status.FAIL: Effect.BLOCKS,
        Status.INCONCLUSIVE: Effect.BLOCKS,
        Status.ERROR: Effect.BLOCKS,
    }


@pytest.mark.parametrize("wrong", ["", "Floor", "1st", "a-b", "a b", "ü", "a" * 64, "a\n", "_a"])
def test_an_id_is_a_plain_word(wrong: str) -> None:
    with pytest.raises(ValueError, match="id must be lower-case"):
        gate(id=wrong)
    assert gate(id="a" * 63).id == "a" * 63


@pytest.mark.parametrize("wrong", ["", "candidate"])
def test_nothing_is_compared_with_itself_or_nobody(wrong: str) -> None:
    with pytest.raises(ValueError, match="reference must name another encoder"):
        gate(reference=wrong)
    assert gate(reference="yesterday").compared_with == "yesterday"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"alpha": 0.0}, "alpha must be above 0"),
        ({"alpha": 0.51}, "alpha must be above 0"),
        ({"alpha": -0.1}, "alpha must be above 0"),
        ({"alpha": 5}, "alpha must be above 0"),
        ({"alpha": float("nan")}, "alpha must be above 0"),
        ({"margin_standard_errors": -1.0}, "margin_standard_errors must be at least 0"),
        ({"margin_standard_errors": float("nan")}, "margin_standard_errors must be at least 0"),
    ],
)
def test_statistics_that_mean_nothing_are_refused(settings: dict[str, float], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Statistics(**settings)  # type: ignore[arg-type]


def test_the_intervals_have_the_level_that_alpha_leaves() -> None:
    assert Statistics().level == 0.95 and Statistics(alpha=0.2).level == 0.8


def test_only_a_pass_passes() -> None:
    results = {s: gate(status=s).judge(Evidence(report_of([[1]])), Statistics()) for s in Status}
    assert [s for s, result in results.items() if result.passed] == [Status.PASS]
    failed = gate().failed_to_judge("because")
    assert (failed.status, failed.reason, failed.test) == (Status.ERROR, "because", "fixed")


def test_a_reference_must_be_there_and_of_the_same_data() -> None:
    ours, theirs = report_of([[1], [1]]), report_of([[0], [0]], "dml")
    assert Evidence(ours, {"baseline": theirs}).reference("baseline") is theirs
    other = report_of([[0], [0]], dataset_digest="another")
    for references, problem in (
        ({}, r"no report of the production \(given: none\)"),
        ({"b": theirs, "a": theirs}, r"no report of the production \(given: a, b\)"),
    ):
        with pytest.raises(MissingMetricError, match=problem):
            Evidence(ours, references).reference("production")
    with pytest.raises(ValueError, match="production were judged on different data") as caught:
        Evidence(ours, {"production": other}).reference("production")
    assert not isinstance(caught.value, MissingMetricError)


def test_rates_in_sentences() -> None:
    assert [percent(0.4312), percent(1)] == ["43.1 %", "100.0 %"]
    assert [points(x) for x in (-0.0123, 0.05, 0, -1e-9)] == ["-1.2", "+5.0", "+0.0", "+0.0"]
