"""What a gate is: settings, evidence, and a result that says in one sentence why.

A new test is one file with a subclass of Gate, and its name in policy.py.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Literal

from saga.retrieval.report import RetrievalReport

if TYPE_CHECKING:
    from saga.monitoring.report import DriftReport
    from saga.retrieval.measurements import Measurements

CANDIDATE, BASELINE, PRODUCTION = "candidate", "baseline", "production"
Severity = Literal["block", "warn"]


class Status(StrEnum):
    """What a gate, or a whole decision, says. Only PASS passes."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    """The data do not tell; more classes would."""
    ERROR = "ERROR"
    """It could not be judged: a figure is missing or the reports do not fit together."""


class Effect(StrEnum):
    """What a gate's outcome does to the decision."""

    NONE = "none"
    WARNS = "warns"
    BLOCKS = "blocks"


class MissingMetricError(ValueError):
    """A figure that a gate needs is not among the evidence."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """How uncertain figures are read; everything is paired over queries and clustered by class."""

    alpha: float = 0.05
    """Of the two-sided intervals, so that one end errs in alpha / 2 of the cases."""
    margin_standard_errors: float = 2.5
    """A margin below this many standard errors of the difference cannot decide."""
    any_of: Literal["holm"] = "holm"
    """Correction where one of several metrics is enough."""
    slices: Literal["benjamini_hochberg"] = "benjamini_hochberg"
    """Correction over the alarms of one gate's slices."""

    def __post_init__(self) -> None:
        if not 0 < self.alpha <= 0.5:
            raise ValueError(
                f"alpha must be above 0 and at most 0.5, for example 0.05, got {self.alpha}"
            )
        if not self.margin_standard_errors >= 0:
            raise ValueError(
                f"margin_standard_errors must be at least 0, got {self.margin_standard_errors}"
            )

    @property
    def level(self) -> float:
        """Confidence of the intervals."""
        return 1 - self.alpha


@dataclass(frozen=True, slots=True)
class Evidence:
    """What gates may look at. Later kinds add fields, with a default."""

    candidate: RetrievalReport
    """Of the encoder under judgement."""
    references: Mapping[str, RetrievalReport] = field(default_factory=dict)
    """Of the encoders it is compared with, by role: "baseline", "production", …"""
    measurements: Mapping[str, "Measurements"] = field(default_factory=dict)
    """Latency, width, agreement after reload, by role: "candidate", "production", …"""
    drift: "DriftReport | None" = None
    """Of test images against training images, and of the candidate against production."""

    def reference(self, role: str) -> RetrievalReport:
        """The report of a role.

        Raises:
            MissingMetricError: if there is none.
            ValueError: if it is of other data.
        """
        other = self.references.get(role)
        if other is None:
            given = ", ".join(sorted(self.references)) or "none"
            raise MissingMetricError(f"there is no report of the {role} (given: {given})")
        if other.dataset_digest != self.candidate.dataset_digest:
            raise ValueError(f"candidate and {role} were judged on different datasets")
        return other


@dataclass(frozen=True, slots=True)
class SliceFigure:
    """One slice of a gate that looks at many."""

    value: str
    """"jpeg", "small", a class's name, …"""
    queries: int
    difference: float
    """Candidate minus reference."""
    p_value: float
    """That the loss beyond the margin is chance, corrected for the number of slices."""
    alarm: bool


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate's outcome; rates are fractions in [0, 1], what does not apply is None."""

    id: str
    test: str
    status: Status
    reason: str
    """One plain sentence."""
    effect: Effect = Effect.NONE
    metric: str | None = None
    statistic: str | None = None
    """What was compared: "point", "bound", "difference" or "p_value"."""
    value: float | None = None
    """The metric, or its difference to the reference."""
    low: float | None = None
    high: float | None = None
    """Two-sided interval of `value`, clustered by class."""
    confidence: float | None = None
    """Level of the interval."""
    threshold: float | None = None
    """What `value` or its bound is compared with."""
    limit: Literal["least", "most"] | None = None
    """Whether `threshold` is the least or the most that may be."""
    margin: float | None = None
    """The loss that non-inferiority still allows."""
    reference: str | None = None
    """Role of the encoder it was compared with."""
    slices: tuple[SliceFigure, ...] = ()
    """Those that raise an alarm first."""

    @property
    def passed(self) -> bool:
        """Whether the gate opened."""
        return self.status is Status.PASS


@dataclass(frozen=True, kw_only=True)
class Gate(ABC):
    """One condition; its fields are its settings in the policy file."""

    test: ClassVar[str]

    id: str
    """Name in decisions, unique in a policy: lower-case letters, digits and _."""
    severity: Severity = "block"
    """What a FAIL does: blocks the promotion, or warns in the decision."""
    on_inconclusive: Literal["block", "warn", "pass"] = "block"
    """What INCONCLUSIVE does, where severity is block."""
    on_missing_metric: Severity = "block"
    """What ERROR does where a figure is not among the evidence and severity is block. Evidence that is
    broken blocks."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", self.id):
            raise ValueError(
                "id must be lower-case letters, digits and _, beginning with a letter, "
                f"got {self.id!r}"
            )
        if self.compared_with in ("", CANDIDATE):
            raise ValueError(
                f"reference must name another encoder, such as {BASELINE} or {PRODUCTION}, "
                f"got {self.compared_with!r}"
            )

    @property
    def compared_with(self) -> str | None:
        """Role of the encoder that the gate needs, if it needs one."""
        return getattr(self, "reference", None)

    @abstractmethod
    def judge(self, evidence: Evidence, statistics: Statistics) -> GateResult:
        """Judge the candidate. A ValueError counts as ERROR, with its text as the reason."""

    def result(self, status: Status, reason: str, **figures: object) -> GateResult:
        """An outcome of this gate."""
        made = GateResult(self.id, self.test, status, reason)
        return replace(made, **figures)  # type: ignore[arg-type]

    def failed_to_judge(self, reason: str) -> GateResult:
        """The result where a figure is missing: never a pass."""
        return GateResult(self.id, self.test, Status.ERROR, reason)

    def effect(self, status: Status, missing: bool = False) -> Effect:
        """What an outcome does to the decision.

        Args:
            status: the outcome.
            missing: whether it is an ERROR because a figure is not among the evidence; evidence that is
                broken is not softened.
        """
        if status is Status.PASS:
            return Effect.NONE
        if status is Status.INCONCLUSIVE and self.on_inconclusive == "pass":
            return Effect.NONE
        softened = {Status.INCONCLUSIVE: self.on_inconclusive}
        if missing:
            softened[Status.ERROR] = self.on_missing_metric
        gentle = self.severity == "warn" or softened.get(status) == "warn"
        return Effect.WARNS if gentle else Effect.BLOCKS


def percent(rate: float) -> str:
    """A rate for a sentence: 0.4312 -> "43.1 %"."""
    return f"{100 * rate:.1f} %"


def points(rate: float) -> str:
    """A difference of rates for a sentence: -0.0123 -> "-1.2"."""
    return f"{100 * rate:+z.1f}"
