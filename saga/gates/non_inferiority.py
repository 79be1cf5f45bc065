"""The candidate may not be worse than a reference by more than a margin.

    - id: not_worse_than_baseline
      kind: non_inferiority
      metric: recall_at_1
      reference: baseline
      margin: 0.02
      confidence: 0.95
      margin_standard_errors: 2.5

D = candidate - reference over the same queries, with an interval [low, high] clustered by class:

1. FAIL          high < -margin: it is worse by more than the margin.
2. PASS          low > 0: it is better, hence not worse, whatever the margin.
3. INCONCLUSIVE  margin < 2.5 standard errors of D: with so few classes an equal encoder would often
                 be held up and the margin says little, so the gate does not decide.
4. PASS          low ≥ -margin.
5. INCONCLUSIVE  otherwise: the interval holds -margin.

Rules 2 and 4 both imply low ≥ -margin, so a candidate that is worse by the margin passes with at
most (1 - confidence) / 2: 2.5 % at 0.95. Different datasets or queries, or a figure that is
missing: ERROR.
"""

from dataclasses import dataclass
from typing import ClassVar

from saga.gates.base import (
    Evidence,
    Gate,
    GateResult,
    Status,
    check_confidence,
    check_metric,
    percent,
    points,
    spoken,
)
from saga.gates.figures import metric_of
from saga.retrieval.report import RetrievalReport
from saga.retrieval.statistics import Difference, paired_difference


@dataclass(frozen=True, kw_only=True)
class NonInferiority(Gate):
    """candidate - reference ≥ -margin."""

    kind: ClassVar[str] = "non_inferiority"

    metric: str
    """recall_at_1, _2, _4, _8 or map_at_r."""
    margin: float
    """Largest acceptable loss, a fraction in (0, 1): 0.02 is two points."""
    reference: str = "baseline"
    """Role of the encoder to compare with."""
    confidence: float = 0.95
    """Level of the two-sided interval, clustered by class."""
    margin_standard_errors: float = 2.5
    """A margin below this many standard errors cannot decide."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_metric(self.metric)
        check_confidence(self.confidence)
        if not 0 < self.margin < 1:
            raise ValueError(f"margin must be a fraction between 0 and 1, got {self.margin}")
        if not self.margin_standard_errors >= 0:
            raise ValueError(
                f"margin_standard_errors must be at least 0, got {self.margin_standard_errors}"
            )
        if not self.reference:
            raise ValueError("reference must name the encoder to compare with, such as baseline")

    def judge(self, evidence: Evidence) -> GateResult:
        """Compare the interval of the paired difference with the margin."""
        other = self._reference(evidence)
        metric_of(evidence.candidate, self.metric), metric_of(other, self.metric)
        found = paired_difference(evidence.candidate, other, self.metric, self.confidence)
        status, comment = self._status(found)
        reason = (
            f"{spoken(self.metric)} differs from {self.reference} by {points(found.mean)} points "
            f"({percent(self.confidence)} interval {points(found.low)} to {points(found.high)}), "
            f"{comment}."
        )
        return GateResult(
            self.id,
            self.kind,
            status,
            reason,
            metric=self.metric,
            statistic="difference",
            value=found.mean,
            low=found.low,
            high=found.high,
            confidence=self.confidence,
            threshold=-self.margin,
            margin=self.margin,
            reference=self.reference,
        )

    def _reference(self, evidence: Evidence) -> RetrievalReport:
        other = evidence.references.get(self.reference)
        if other is None:
            given = ", ".join(sorted(evidence.references)) or "none"
            raise ValueError(f"there is no report of the {self.reference} (given: {given})")
        if other.dataset_digest != evidence.candidate.dataset_digest:
            raise ValueError(f"candidate and {self.reference} were judged on different datasets")
        return other

    def _status(self, found: Difference) -> tuple[Status, str]:
        margin = f"{100 * self.margin:.1f}"
        if found.high < -self.margin:
            return Status.FAIL, f"a loss beyond the margin of {margin}"
        if found.low > 0:
            return Status.PASS, "which is better"
        least = self.margin_standard_errors * found.standard_error
        if self.margin < least:
            return Status.INCONCLUSIVE, (
                f"and the margin of {margin} is too narrow for {found.classes} classes to tell an "
                f"equal encoder from a worse one: it needs {100 * least:.1f} points or more classes"
            )
        if found.low >= -self.margin:
            return Status.PASS, f"within the margin of {margin}"
        return Status.INCONCLUSIVE, (
            f"which a loss of {margin} lies within: more classes would tell"
        )
