"""What is to be done about a drift report: nothing, a look, or a retraining. Nothing is started."""

from dataclasses import dataclass
from enum import StrEnum

from saga.monitoring.assessment import kind_of
from saga.monitoring.policy import DriftPolicy
from saga.monitoring.report import DriftReport


class State(StrEnum):
    """What a verdict says."""

    STEADY = "STEADY"
    WATCH = "WATCH"
    """Something changed that does not ask for a retraining."""
    RETRAIN = "RETRAIN"
    INCONCLUSIVE = "INCONCLUSIVE"
    """Too few images to say."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from a report under a policy."""

    state: State
    reason: str
    """One or two plain sentences."""
    refused: bool
    """Whether the command ends with exit code 3."""


def judge(report: DriftReport, policy: DriftPolicy) -> Verdict:
    """What the policy says of a report on live queries.

    A retraining is said even where other figures could not be judged; "steady" only where all that
    ask for a retraining were, but for Recall@1, which needs labels.
    """
    asking = [name for name in report.exceeded if kind_of(name) in policy.retrain_on]
    if len(asking) >= policy.retrain_at:
        return Verdict(
            State.RETRAIN,
            f"{_count(len(asking), 'figure')} that ask for a retraining "
            f"{'is' if len(asking) == 1 else 'are'} beyond the limit: {', '.join(asking)}.",
            refused=True,
        )
    wanted = {kind for kind in policy.retrain_on if kind != "recall_loss"}
    missing = wanted - {kind_of(name) for name in report.thresholds}
    if missing:
        return Verdict(
            State.INCONCLUSIVE,
            " ".join(report.not_judged) or f"Not judged: {', '.join(sorted(missing))}.",
            refused=policy.on_inconclusive == "refuse",
        )
    if report.warnings:
        return Verdict(State.WATCH, " ".join(report.warnings), refused=False)
    judged = len(report.thresholds)
    return Verdict(State.STEADY, f"All {judged} judged figures are within their limits.", False)


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
