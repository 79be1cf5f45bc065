"""How often a policy errs, on pairs of encoders whose right answer is known.

- A/A: the same encoder trained with other seeds. Neither is better, so a policy should let it pass;
  FAIL is a false block, INCONCLUSIVE says that the data are too few for the policy's margins. Every
  ordered pair of seeds is judged. They share encoders, so the rates are less certain than their number.
- Planted: an encoder against itself with something broken (saga.gates.regressions). Every one must be
  blocked.

With `classes` fewer than all, queries of a random part of the classes are judged (against the whole
gallery): what the policy would say with so many test classes.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import Any

import numpy as np

from saga.gates.base import BASELINE, CANDIDATE, PRODUCTION, Effect
from saga.gates.decision import GateDecision
from saga.gates.gates import decide
from saga.gates.metrics import RATES
from saga.gates.policy import GatePolicy
from saga.retrieval.measurements import Measurements
from saga.retrieval.report import RetrievalReport, outcome_column

Judged = tuple[RetrievalReport, Measurements]
Tell = Callable[[int, int], None]


@dataclass
class Tally:
    """Decisions on pairs of one kind."""

    kind: str
    """"A/A", or the regression's name."""
    classes: int
    """Test classes judged."""
    decisions: Counter[str] = field(default_factory=Counter)
    """By status."""
    blocks: Counter[str] = field(default_factory=Counter)
    """By gate: how often it blocked."""
    warnings: Counter[str] = field(default_factory=Counter)
    """By gate: how often it warned."""

    @property
    def total(self) -> int:
        """Decisions."""
        return self.decisions.total()

    def add(self, decision: GateDecision) -> None:
        """Count one."""
        self.decisions[str(decision.status)] += 1
        self.blocks.update(gate.id for gate in decision.gates if gate.effect is Effect.BLOCKS)
        self.warnings.update(gate.id for gate in decision.gates if gate.effect is Effect.WARNS)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        counts = {n: dict(getattr(self, n)) for n in ("decisions", "blocks", "warnings")}
        return {"kind": self.kind, "classes": self.classes, "total": self.total} | counts


def judge_pairs(
    policy: GatePolicy,
    judged: Sequence[Judged],
    class_counts: Iterable[int],
    repeats: int,
    seed: int = 0,
    tell: Tell = lambda done, total: None,
) -> list[Tally]:
    """A/A: every ordered pair of seeds, for each number of classes.

    Args:
        policy: to be calibrated.
        judged: report and measurements of the encoder of each seed, of the same queries.
        class_counts: numbers of classes; more than there are means all.
        repeats: random parts of the classes for each pair where not all are taken.
        seed: of the parts.
        tell: called with (decisions done, in all).
    """
    everything = np.unique(judged[0][0].per_query["class_id"])
    counts = sorted({min(count, len(everything)) for count in class_counts})
    pairs = list(permutations(range(len(judged)), 2))
    total = sum(len(pairs) * (repeats if c < len(everything) else 1) for c in counts)
    rng, tallies, done = np.random.default_rng(seed), [], 0
    for count in counts:
        tally = Tally("A/A", count)
        for a, b in pairs:
            for _ in range(repeats if count < len(everything) else 1):
                chosen = rng.choice(everything, count, replace=False)
                tally.add(decide_pair(policy, judged[a], judged[b], chosen))
                tell(done := done + 1, total)
        tallies.append(tally)
    return tallies


def decide_pair(
    policy: GatePolicy, candidate: Judged, other: Judged, classes: np.ndarray | None = None
) -> GateDecision:
    """The policy's decision where `other` is both baseline and production.

    Something broken may come with the measurements of the whole encoder: they count as its own.
    """
    ours, theirs = candidate[0], other[0]
    measured = replace(candidate[1], encoder_digest=ours.encoder_digest)
    if classes is not None:
        ours, theirs = of_classes(ours, classes), of_classes(theirs, classes)
    return decide(
        policy,
        ours,
        {BASELINE: theirs, PRODUCTION: theirs},
        {CANDIDATE: measured, BASELINE: other[1], PRODUCTION: other[1]},
    )


def of_classes(report: RetrievalReport, classes: np.ndarray) -> RetrievalReport:
    """A report of the queries of some classes."""
    rows = report.per_query[report.per_query["class_id"].isin(classes)].reset_index(drop=True)
    kept = [m for m in RATES if outcome_column(m) in rows]
    metrics = {m: float(rows[outcome_column(m)].astype(float).mean()) for m in kept}
    return replace(report, per_query=rows, metrics=report.metrics | metrics)


def summary(tallies: Sequence[Tally]) -> Mapping[str, Any]:
    """The rates that matter: of A/A pairs with most classes, and of planted regressions."""
    pairs = max((t for t in tallies if t.kind == "A/A"), key=lambda t: t.classes)
    planted = [t for t in tallies if t.kind != "A/A"]
    missed = sum(t.decisions["PASS"] for t in planted)
    return {
        "false_blocks": pairs.decisions["FAIL"] + pairs.decisions["ERROR"],
        "inconclusive": pairs.decisions["INCONCLUSIVE"],
        "pairs": pairs.total,
        "classes": pairs.classes,
        "missed": missed,
        "planted": sum(t.total for t in planted),
    }
