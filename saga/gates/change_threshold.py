"""A metric may not change by more than so much against a reference.

    - id: latency
      test: change_threshold
      metric: encode_ms_p95
      reference: production
      at_most: 0.5              # half as slow again
      relative: true
      on: point

The change is candidate - reference, or its share of the reference's figure with `relative`. On the
bound, for a metric with outcomes per query, the unfavourable end of the paired interval decides.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from saga.gates.base import PRODUCTION, Evidence, Gate, GateResult, Statistics, Status
from saga.gates.metrics import (
    FLIPS,
    FRACTIONS,
    RATES,
    TOLERANCE,
    check_metric,
    figure,
    of_drift,
    opening,
    said,
)
from saga.retrieval.statistics import Difference, paired_difference


@dataclass(frozen=True, kw_only=True)
class ChangeThreshold(Gate):
    """at_least ≤ candidate - reference ≤ at_most."""

    test: ClassVar[str] = "change_threshold"

    metric: str
    """Any metric of saga.gates.metrics but those that compare already."""
    reference: str = PRODUCTION
    """Role of the encoder to compare with."""
    at_least: float | None = None
    """Lowest acceptable change, in the metric's unit or as a share."""
    at_most: float | None = None
    """Highest acceptable change; one of the two or both."""
    relative: bool = False
    """Whether the change is a share of the reference's figure."""
    on: Literal["point", "bound"] = "point"
    """What must keep to the levels."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_metric(self.metric)
        if self.metric == FLIPS or of_drift(self.metric):
            raise ValueError(f"metric: {self.metric} compares two encoders already")
        if self.at_least is None and self.at_most is None:
            raise ValueError("give at_least, at_most or both")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"at_least {self.at_least} is above at_most {self.at_most}")
        if self.metric in FRACTIONS and not self.relative:
            for level in (self.at_least, self.at_most):
                if level is not None and not -1 < level < 1:
                    raise ValueError(f"the change of a rate is a fraction in (-1, 1), got {level}")
        if self.on == "bound" and (self.metric not in RATES or self.relative):
            raise ValueError("on: a bound needs a metric with outcomes per query and no `relative`")

    def judge(self, evidence: Evidence, statistics: Statistics) -> GateResult:
        """Compare the change, or its interval, with the levels."""
        ours = figure(evidence, self.metric)
        theirs = figure(evidence, self.metric, self.reference)
        change = ours - theirs
        if self.relative:
            if theirs == 0:
                raise ValueError(
                    f"{self.metric} of the {self.reference} is 0: no share of it exists"
                )
            change /= theirs
        found = None
        if self.on == "bound":
            other = evidence.reference(self.reference)
            found = paired_difference(evidence.candidate, other, self.metric, statistics.level)
        status = self._status(change, found)
        low, high = self.at_least, self.at_most
        upper = low is None or (high is not None and high - change < change - low)
        levels = (("at least", low), ("at most", high))
        allowed = " and ".join(f"{s} {self._amount(v)}" for s, v in levels if v is not None)
        around = f" ({self._amount(found.low)} to {self._amount(found.high)})" if found else ""
        return self.result(
            status,
            f"{opening(self.metric)} is {said(self.metric, ours)}, {self.reference} has "
            f"{said(self.metric, theirs)}: a change of {self._amount(change)}{around}; allowed is "
            f"{allowed}.",
            metric=self.metric,
            statistic="difference" if self.metric in RATES else "point",
            value=change,
            low=found.low if found else None,
            high=found.high if found else None,
            confidence=statistics.level if found else None,
            threshold=high if upper else low,
            limit="most" if upper else "least",
            reference=self.reference,
        )

    def _status(self, change: float, found: Difference | None) -> Status:
        low = -math.inf if self.at_least is None else self.at_least - TOLERANCE
        high = math.inf if self.at_most is None else self.at_most + TOLERANCE
        ends = (found.low, found.high) if found else (change, change)
        if low <= ends[0] and ends[1] <= high:
            return Status.PASS
        return Status.FAIL if ends[1] < low or ends[0] > high else Status.INCONCLUSIVE

    def _amount(self, value: float) -> str:
        if self.relative:
            return f"{100 * value:+.0f} %"
        return f"{100 * value:+.1f} points" if self.metric in FRACTIONS else f"{value:+g}"
