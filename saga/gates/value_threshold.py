"""A metric must reach, or not exceed, a fixed level.

    - id: recall_floor
      test: value_threshold
      metric: recall_at_1
      at_least: 0.30            # or at_most
      on: bound                 # or: point

On the bound, the unfavourable end of the class-clustered interval must keep to the level: PASS; the
whole interval beyond it: FAIL; the level inside: INCONCLUSIVE. On the point the figure itself decides,
and the gate is never inconclusive: a figure that is right by luck passes.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from saga.gates.base import Evidence, Gate, GateResult, Statistics, Status, percent
from saga.gates.metrics import (
    FLIPS,
    FRACTIONS,
    check_metric,
    figure,
    has_outcomes,
    interval,
    opening,
    said,
)
from saga.retrieval.statistics import Difference


@dataclass(frozen=True, kw_only=True)
class ValueThreshold(Gate):
    """metric ≥ at_least, or metric ≤ at_most."""

    test: ClassVar[str] = "value_threshold"

    metric: str
    """Any metric of saga.gates.metrics."""
    at_least: float | None = None
    """Lowest acceptable level."""
    at_most: float | None = None
    """Highest acceptable level; one of the two."""
    on: Literal["point", "bound"]
    """What must keep to the level; there is no default, so that a policy says which."""
    reference: str | None = None
    """For negative_flip_rate alone: whose finds count."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_metric(self.metric)
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give one of at_least and at_most")
        if self.on == "bound" and not has_outcomes(self.metric):
            raise ValueError(
                f"on: {self.metric} has no outcome per query, hence no bound; use point"
            )
        if (self.metric == FLIPS) != (self.reference is not None):
            raise ValueError(f"reference is given for {FLIPS}, and for nothing else")
        if self.metric in FRACTIONS:
            self._check_fraction()

    @property
    def level(self) -> float:
        """The level that decides."""
        level = self.at_least if self.at_least is not None else self.at_most
        assert level is not None, "one of the two is given"
        return level

    def judge(self, evidence: Evidence, statistics: Statistics) -> GateResult:
        """Compare the candidate's figure, or its bound, with the level."""
        value = figure(evidence, self.metric, reference=self.reference)
        found = None
        around = ""
        if has_outcomes(self.metric):
            found = interval(evidence, self.metric, statistics.level, self.reference)
            around = (
                f" ({percent(statistics.level)} interval {percent(found.low)} to "
                f"{percent(found.high)})"
            )
        status, comment = self._status(value, found)
        against = f" against {self.reference}" if self.reference else ""
        return self.result(
            status,
            f"{opening(self.metric)}{against} is {said(self.metric, value)}{around}, {comment}.",
            metric=self.metric,
            statistic=self.on,
            value=value,
            low=found.low if found else None,
            high=found.high if found else None,
            confidence=statistics.level if found else None,
            threshold=self.level,
            limit="least" if self.at_least is not None else "most",
            reference=self.reference,
        )

    def _check_fraction(self) -> None:
        """Refuse a level that is none, or that every rate keeps to."""
        if self.at_least is not None and not 0 < self.at_least <= 1:
            raise ValueError(
                f"at_least must be a fraction above 0 and at most 1, got {self.at_least}"
            )
        if self.at_most is not None and not 0 <= self.at_most < 1:
            raise ValueError(f"at_most must be a fraction from 0 and below 1, got {self.at_most}")

    def _status(self, value: float, found: Difference | None) -> tuple[Status, str]:
        floor = self.at_least is not None
        level = f"{'at least' if floor else 'at most'} {said(self.metric, self.level)}"
        if self.on == "point" or found is None:
            kept = value >= self.level if floor else value <= self.level
            return (Status.PASS, f"which is {level}") if kept else (Status.FAIL, f"not {level}")
        worst, best = (found.low, found.high) if floor else (found.high, found.low)
        if worst >= self.level if floor else worst <= self.level:
            return Status.PASS, f"even whose unfavourable end is {level}"
        if best < self.level if floor else best > self.level:
            return Status.FAIL, f"even whose favourable end is not {level}"
        return Status.INCONCLUSIVE, f"within which {level} lies: more classes would tell"
