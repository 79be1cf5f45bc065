"""What a gate is: settings, evidence, and a result that says in one sentence why.

A new kind of gate is one file with a subclass of Gate, and its name in gates.py.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from saga.retrieval.report import RetrievalReport

GATEABLE = ("recall_at_1", "recall_at_2", "recall_at_4", "recall_at_8", "map_at_r")


class Status(StrEnum):
    """What a gate, or a whole decision, says. Only PASS passes."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    """The data do not tell; more classes would."""
    ERROR = "ERROR"
    """It could not be judged: a figure is missing or the reports do not fit together."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What gates may look at. Later kinds add fields, with a default."""

    candidate: RetrievalReport
    """Of the encoder under judgement."""
    references: Mapping[str, RetrievalReport] = field(default_factory=dict)
    """Of the encoders it is compared with, by role: "baseline", "production", …"""


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate's outcome; rates are fractions in [0, 1], what does not apply is None."""

    id: str
    kind: str
    status: Status
    reason: str
    """One plain sentence."""
    metric: str | None = None
    statistic: str | None = None
    """What was compared: "point", "lower_bound" or "difference"."""
    value: float | None = None
    """The metric, or its difference to the reference."""
    low: float | None = None
    high: float | None = None
    """Two-sided interval of `value`, clustered by class."""
    confidence: float | None = None
    """Level of the interval."""
    threshold: float | None = None
    """What `value` or its bound must reach."""
    margin: float | None = None
    """The loss that non-inferiority still allows."""
    reference: str | None = None
    """Role of the encoder it was compared with."""

    @property
    def passed(self) -> bool:
        """Whether the gate opened."""
        return self.status is Status.PASS


@dataclass(frozen=True, kw_only=True)
class Gate(ABC):
    """One condition; its fields are its settings in the policy file."""

    kind: ClassVar[str]

    id: str
    """Name in decisions, unique in a policy: lower-case letters, digits and _."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", self.id):
            raise ValueError(
                "id must be lower-case letters, digits and _, beginning with a letter, "
                f"got {self.id!r}"
            )

    @abstractmethod
    def judge(self, evidence: Evidence) -> GateResult:
        """Judge the candidate. A ValueError counts as ERROR, with its text as the reason."""

    def failed_to_judge(self, reason: str) -> GateResult:
        """The result where a figure is missing: never a pass."""
        return GateResult(self.id, self.kind, Status.ERROR, reason)


def check_metric(metric: str) -> None:
    """Refuse a metric that no gate may rest on.

    Raises:
        ValueError: naming those that one may.
    """
    if metric == "nmi":
        raise ValueError(
            "metric: nmi moves by several points with the seed of its k-means, so no gate may rest "
            f"on it; allowed are {', '.join(GATEABLE)}"
        )
    if metric not in GATEABLE:
        raise ValueError(f"metric must be one of {', '.join(GATEABLE)}, got {metric!r}")


def check_confidence(confidence: float) -> None:
    """Refuse a level of confidence that is none.

    Raises:
        ValueError: outside [0.5, 1).
    """
    if not 0.5 <= confidence < 1:
        raise ValueError(f"confidence must be in [0.5, 1), for example 0.95, got {confidence}")


def percent(rate: float) -> str:
    """A rate for a sentence: 0.4312 -> "43.1 %"."""
    return f"{100 * rate:.1f} %"


def points(rate: float) -> str:
    """A difference of rates for a sentence: -0.0123 -> "-1.2"."""
    return f"{100 * rate:+.1f}"


def spoken(metric: str) -> str:
    """A metric for a sentence: recall_at_1 -> "Recall@1"."""
    return "MAP@R" if metric == "map_at_r" else f"Recall@{metric.rpartition('_')[2]}"
