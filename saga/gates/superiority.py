"""The candidate must be better than a reference, in one metric or in any of several.

    - id: better_than_production
      test: superiority
      any_of: [recall_at_1, map_at_r]
      reference: production
      margin: 0.0

One-sided clustered t of D > margin at alpha / 2. With several metrics one is enough, so their p values
are corrected by Holm. PASS if a corrected p is at most alpha / 2; FAIL if every metric's whole
interval lies at or below the margin; else INCONCLUSIVE.
"""

from dataclasses import dataclass
from typing import ClassVar

from saga.gates.base import Evidence, Gate, GateResult, Statistics, Status, points
from saga.gates.metrics import RATES, check_metric, rate_of, spoken
from saga.retrieval.multiplicity import holm
from saga.retrieval.statistics import p_value, paired_difference


@dataclass(frozen=True, kw_only=True)
class Superiority(Gate):
    """candidate - reference > margin."""

    test: ClassVar[str] = "superiority"

    metric: str | None = None
    """recall_at_1, _2, _4, _8 or map_at_r."""
    any_of: tuple[str, ...] = ()
    """Or several of them, of which one is enough."""
    reference: str = "baseline"
    """Role of the encoder to compare with."""
    margin: float = 0.0
    """What it must be better by, a fraction in [0, 1)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.metric is None) == (not self.any_of):
            raise ValueError("give one of metric and any_of")
        if len(set(self.any_of)) != len(self.any_of) or len(self.any_of) == 1:
            raise ValueError("any_of names two or more metrics, each once; one alone is `metric`")
        for metric in self.metrics:
            check_metric(metric, RATES)
        if not 0 <= self.margin < 1:
            raise ValueError(f"margin must be a fraction in [0, 1), got {self.margin}")

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those that are tested."""
        return self.any_of or (str(self.metric),)

    def judge(self, evidence: Evidence, statistics: Statistics) -> GateResult:
        """Test the paired difference of each metric."""
        other = evidence.reference(self.reference)
        found = {}
        for metric in self.metrics:
            rate_of(evidence.candidate, metric), rate_of(other, metric)
            found[metric] = paired_difference(evidence.candidate, other, metric, statistics.level)
        alone = {metric: p_value(d, self.margin, "greater") for metric, d in found.items()}
        best, chance = min(alone, key=alone.__getitem__), min(holm(list(alone.values())))
        if chance <= statistics.alpha / 2:
            status, comment = Status.PASS, "which is better beyond chance"
        elif all(d.high <= self.margin for d in found.values()):
            status, comment = Status.FAIL, "which is not better"
        else:
            status, comment = Status.INCONCLUSIVE, "which may be chance: more classes would tell"
        parts = [
            f"{spoken(m)} {points(d.mean)} ({points(d.low)} to {points(d.high)})"
            for m, d in found.items()
        ]
        corrected = ", corrected for any of several" if self.any_of else ""
        wanted = f", wanted above {points(self.margin)}" if self.margin else ""
        return self.result(
            status,
            f"Against {self.reference}, in points: {'; '.join(parts)}{wanted}; p = {chance:.3g}"
            f"{corrected}, {comment}.",
            metric=best,
            statistic="difference",
            value=found[best].mean,
            low=found[best].low,
            high=found[best].high,
            confidence=statistics.level,
            threshold=self.margin,
            limit="least",
            margin=self.margin,
            reference=self.reference,
        )
