"""A metric must reach a fixed level.

    - id: recall_floor
      kind: floor
      metric: recall_at_1
      threshold: 0.30
      statistic: lower_bound      # or: point
      confidence: 0.95

With "lower_bound" the lower end of the class-clustered interval must reach the threshold: PASS; the
whole interval below it: FAIL; the threshold inside: INCONCLUSIVE. With "point" the figure itself
decides, and the gate is never inconclusive: a figure that is above by luck passes.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from saga.gates.base import (
    Evidence,
    Gate,
    GateResult,
    Status,
    check_confidence,
    check_metric,
    percent,
    spoken,
)
from saga.gates.figures import metric_of
from saga.retrieval.statistics import Difference, estimate


@dataclass(frozen=True, kw_only=True)
class Floor(Gate):
    """metric ≥ threshold."""

    kind: ClassVar[str] = "floor"

    metric: str
    """recall_at_1, _2, _4, _8 or map_at_r."""
    threshold: float
    """Lowest acceptable level, a fraction in (0, 1]."""
    statistic: Literal["lower_bound", "point"]
    """What must reach the threshold; there is no default, so that a policy says which."""
    confidence: float = 0.95
    """Level of the two-sided interval, clustered by class."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_metric(self.metric)
        check_confidence(self.confidence)
        if not 0 < self.threshold <= 1:
            raise ValueError(
                f"threshold must be a fraction above 0 and at most 1, got {self.threshold}"
            )

    def judge(self, evidence: Evidence) -> GateResult:
        """Compare the candidate's figure, or its lower bound, with the threshold."""
        value = metric_of(evidence.candidate, self.metric)
        found = estimate(evidence.candidate, self.metric, self.confidence)
        status, comment = self._status(value, found)
        reason = (
            f"{spoken(self.metric)} is {percent(value)} ({percent(self.confidence)} interval "
            f"{percent(found.low)} to {percent(found.high)}), {comment}."
        )
        return GateResult(
            self.id,
            self.kind,
            status,
            reason,
            metric=self.metric,
            statistic=self.statistic,
            value=value,
            low=found.low,
            high=found.high,
            confidence=self.confidence,
            threshold=self.threshold,
        )

    def _status(self, value: float, found: Difference) -> tuple[Status, str]:
        floor = f"the floor of {percent(self.threshold)}"
        if self.statistic == "point":
            if value >= self.threshold:
                return Status.PASS, f"and reaches {floor}"
            return Status.FAIL, f"and stays below {floor}"
        if found.low >= self.threshold:
            return Status.PASS, f"and even the lower end reaches {floor}"
        if found.high < self.threshold:
            return Status.FAIL, f"and even the upper end stays below {floor}"
        return Status.INCONCLUSIVE, f"which {floor} lies within: more classes would tell"
