"""A metric must be what it should be: a value, or a reference's figure.

- id: same_after_reload
  test: equals
  metric: reload_agreement
  value: 1.0
- id: same_width
  test: equals
  metric: embedding_width
  reference: production
  severity: warn            # another width needs another index
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from saga.gates.base import Evidence, Gate, GateResult, Statistics, Status
from saga.gates.metrics import (
    FLIPS,
    TOLERANCE,
    check_metric,
    figure,
    of_drift,
    opening,
    said,
)


@dataclass(frozen=True, kw_only=True)
class Equals(Gate):
    """metric = value, or metric = the reference's."""

    test: ClassVar[str] = "equals"

    metric: str
    """Any metric of saga.gates.metrics but negative_flip_rate."""
    value: float | None = None
    """What it must be."""
    reference: str | None = None
    """Or the role whose figure it must be; one of the two."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_metric(self.metric)
        if self.metric == FLIPS:
            raise ValueError(f"metric: {FLIPS} compares two encoders already")
        if (self.value is None) == (self.reference is None):
            raise ValueError("give one of value and reference")
        if self.reference is not None and of_drift(self.metric):
            raise ValueError(f"reference: {self.metric} has none; give a value")

    def judge(self, evidence: Evidence, statistics: Statistics) -> GateResult:
        """Compare, up to rounding."""
        ours = figure(evidence, self.metric)
        wanted = self.value
        if self.reference is not None:
            wanted = figure(evidence, self.metric, self.reference)
        assert wanted is not None, "one of the two is given"
        same = math.isclose(ours, wanted, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        whose = f", as {self.reference} has" if self.reference else ""
        verdict = "is" if same else "is not"
        return self.result(
            Status.PASS if same else Status.FAIL,
            f"{opening(self.metric)} is {said(self.metric, ours)}, which {verdict} the wanted "
            f"{said(self.metric, wanted)}{whose}.",
            metric=self.metric,
            statistic="point",
            value=ours,
            threshold=wanted,
            reference=self.reference,
        )
