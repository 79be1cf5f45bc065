"""The candidate may not be worse than a reference by more than a margin.

    - id: not_worse_than_production
      test: non_inferiority
      metric: recall_at_1
      reference: production
      margin: 0.02

D = candidate - reference over the same queries, with an interval [low, high] clustered by class:

1. FAIL          high < -margin: it is worse by more than the margin.
2. PASS          low > 0: it is better, hence not worse, whatever the margin.
3. INCONCLUSIVE  margin < 2.5 standard errors of D: with so few classes an equal encoder would often
                 be held up and the margin says little, so the gate does not decide.
4. PASS          low ≥ -margin.
5. INCONCLUSIVE  otherwise: the interval holds -margin.

Rules 2 and 4 both imply low ≥ -margin, so a candidate that is worse by the margin passes with at
most alpha / 2: 2.5 % at 0.05. Different datasets or queries, or a figure that is missing: ERROR.

With `slicing` (class_size, corruption, class, or a column of slices) the gate looks for harm instead:
a slice raises an alarm if its loss beyond the margin is significant at alpha / 2 after
Benjamini-Hochberg over the slices. FAIL with an alarm, PASS without; that no alarm was raised does not
prove a slice unharmed. A single class is one cluster, so there the loss must exceed the margin and the
exact sign test over its queries says whether it is chance; classes in which too few queries changed for
any alarm are not corrected for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from saga.gates.base import (
    Evidence,
    Gate,
    GateResult,
    SliceFigure,
    Statistics,
    Status,
    percent,
    points,
)
from saga.gates.metrics import RATES, check_metric, rate_of, spoken
from saga.gates.slicing import CLASS, CORRUPTION, sliced
from saga.retrieval.multiplicity import benjamini_hochberg
from saga.retrieval.report import RetrievalReport
from saga.retrieval.sign_test import SignTest, able_to_alarm, sign_test
from saga.retrieval.statistics import Difference, classes_needed, p_value, paired_difference

NAMED = 3
"""Slices named in the reason."""


@dataclass(frozen=True, kw_only=True)
class NonInferiority(Gate):
    """candidate - reference ≥ -margin."""

    test: ClassVar[str] = "non_inferiority"

    metric: str
    """recall_at_1, _2, _4, _8 or map_at_r."""
    margin: float
    """Largest acceptable loss, a fraction in (0, 1): 0.02 is two points."""
    reference: str = "baseline"
    """Role of the encoder to compare with."""
    slicing: str | None = None
    """Look for harm in slices instead: class_size, corruption, class, or a column of slices."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_metric(self.metric, RATES)
        if not 0 < self.margin < 1:
            raise ValueError(f"margin must be a fraction between 0 and 1, got {self.margin}")
        if self.slicing in (CLASS, CORRUPTION) and self.metric != "recall_at_1":
            raise ValueError(f"slicing: {self.slicing} goes with recall_at_1 alone")

    def judge(self, evidence: Evidence, statistics: Statistics) -> GateResult:
        """Compare the interval of the paired difference with the margin, or look at the slices."""
        other = evidence.reference(self.reference)
        rate_of(evidence.candidate, self.metric), rate_of(other, self.metric)
        if self.slicing is not None:
            return self._slices(evidence.candidate, other, statistics)
        found = paired_difference(evidence.candidate, other, self.metric, statistics.level)
        status, comment = self._status(found, statistics)
        return self.result(
            status,
            f"{spoken(self.metric)} differs from {self.reference} by {points(found.mean)} points "
            f"({percent(statistics.level)} interval {points(found.low)} to {points(found.high)}), "
            f"{comment}.",
            statistic="difference",
            value=found.mean,
            low=found.low,
            high=found.high,
            confidence=statistics.level,
            **self._settings(),
        )

    def _settings(self) -> dict[str, object]:
        return {
            "metric": self.metric,
            "threshold": -self.margin,
            "limit": "least",
            "margin": self.margin,
            "reference": self.reference,
        }

    def _status(self, found: Difference, statistics: Statistics) -> tuple[Status, str]:
        margin = f"{100 * self.margin:.1f}"
        if found.high < -self.margin:
            return Status.FAIL, f"a loss beyond the margin of {margin}"
        if found.low > 0:
            return Status.PASS, "which is better"
        least = statistics.margin_standard_errors * found.standard_error
        if self.margin < least:
            needed = classes_needed(found, self.margin)
            return Status.INCONCLUSIVE, (
                f"and the margin of {margin} is too narrow for {found.classes} classes to tell an "
                f"equal encoder from a worse one: it needs {100 * least:.1f} points, or some "
                f"{needed} classes for an equal encoder to pass in four of five cases"
            )
        if found.low >= -self.margin:
            return Status.PASS, f"within the margin of {margin}"
        return Status.INCONCLUSIVE, (
            f"which a loss of {margin} lies within: more classes would tell"
        )

    def _slices(
        self, candidate: RetrievalReport, other: RetrievalReport, statistics: Statistics
    ) -> GateResult:
        assert self.slicing is not None
        ours = sliced(candidate, self.slicing, self.metric)
        theirs = sliced(other, self.slicing, self.metric)
        if ours.keys() != theirs.keys():
            raise ValueError(f"candidate and {self.reference} have different slices")
        figures = self._tested(ours, theirs, statistics)
        alarms = [f for f in figures if f.alarm]
        worst = ", ".join(f"{f.value} {points(f.difference)}" for f in (alarms or figures)[:NAMED])
        margin = f"{100 * self.margin:.1f}"
        if alarms:
            more = f" and {len(alarms) - NAMED} more" if len(alarms) > NAMED else ""
            reason = (
                f"{len(alarms)} of {len(figures)} slices by {self.slicing} lose more than {margin} "
                f"points of {spoken(self.metric)} against {self.reference} beyond chance: {worst}{more}."
            )
        else:
            reason = (
                f"None of {len(figures)} slices by {self.slicing} loses more than {margin} points of "
                f"{spoken(self.metric)} against {self.reference} beyond chance; lowest: {worst}."
            )
        return self.result(
            Status.FAIL if alarms else Status.PASS,
            reason,
            statistic="p_value",
            value=figures[0].difference,
            slices=tuple(figures),
            **self._settings(),
        )

    def _tested(
        self,
        ours: Mapping[str, RetrievalReport],
        theirs: Mapping[str, RetrievalReport],
        statistics: Statistics,
    ) -> list[SliceFigure]:
        """Of every slice that can be tested, alarms first, then the largest losses."""
        found = {}
        for value, report in ours.items():
            if self.slicing == CLASS:
                found[value] = self._class(report, theirs[value])
            elif report.per_query["class_id"].nunique() > 1:  # one has no interval over classes
                paired = paired_difference(report, theirs[value], self.metric, statistics.level)
                chance = p_value(paired, -self.margin, "less")
                found[value] = SignTest(paired.mean, chance, least=0.0)
        if not found:
            raise ValueError(f"no slice by {self.slicing} has the two classes that a test needs")
        alpha = statistics.alpha / 2
        able = able_to_alarm([test.least for test in found.values()], alpha)
        chosen = [value for value, one in zip(found, able) if one]
        adjusted = benjamini_hochberg([found[value].p_value for value in chosen])
        chances = dict(zip(chosen, adjusted))
        figures = [
            SliceFigure(
                value,
                len(ours[value].per_query),
                test.difference,
                chances.get(value, 1.0),
                chances.get(value, 1.0) <= alpha,
            )
            for value, test in found.items()
        ]
        return sorted(figures, key=lambda f: (not f.alarm, f.difference))

    def _class(self, candidate: RetrievalReport, other: RetrievalReport) -> SignTest:
        """Of a single class: a loss within the margin is no harm, however certain."""
        test = sign_test(candidate, other, self.metric)
        return test if test.difference < -self.margin else replace(test, p_value=1.0)
