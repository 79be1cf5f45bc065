"""What the gates said, and the digests of everything they judged."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from saga.errors import UserInputError
from saga.files import digest_of, write_json
from saga.gates.base import Effect, GateResult, SliceFigure, Status
from saga.retrieval.storage import altered, read_facts

DECISION = "decision.json"
KEYS = {
    "status",
    "policy",
    "gates",
    "encoder_digest",
    "dataset_digest",
    "policy_digest",
    "report_digest",
    "references",
    "evidence",
    "digest",
}


@dataclass(frozen=True, slots=True)
class Reference:
    """An encoder that the candidate was compared with."""

    encoder_digest: str
    report_digest: str


@dataclass(frozen=True)
class GateDecision:
    """The outcome of a policy on one candidate."""

    policy: str
    """Name of the policy."""
    gates: tuple[GateResult, ...]
    encoder_digest: str
    """Of the candidate."""
    dataset_digest: str
    """Of the data that candidate and references were judged on."""
    policy_digest: str
    report_digest: str
    """Of the candidate's retrieval report."""
    references: Mapping[str, Reference]
    """By role: "baseline", "production", …"""
    evidence: Mapping[str, str] = field(default_factory=dict)
    """Digests of what else was looked at: "measurements of the candidate", "drift", …"""

    def __post_init__(self) -> None:
        if not self.gates:
            raise ValueError("a decision without gates would let everything pass")
        for gate in self.gates:
            harmless = gate.effect is Effect.NONE
            if gate.status is not Status.INCONCLUSIVE and harmless is not gate.passed:
                raise ValueError(f"{gate.id} is {gate.status}, and its effect {gate.effect}")

    @property
    def status(self) -> Status:
        """PASS only if no gate blocks; else the worst of those that do: ERROR, FAIL, INCONCLUSIVE."""
        found = {gate.status for gate in self.blocking}
        for status in (Status.ERROR, Status.FAIL, Status.INCONCLUSIVE):
            if status in found:
                return status
        return Status.PASS

    @property
    def passed(self) -> bool:
        """Whether no gate blocks."""
        return self.status is Status.PASS

    @property
    def blocking(self) -> tuple[GateResult, ...]:
        """Gates that keep the candidate from being promoted."""
        return tuple(gate for gate in self.gates if gate.effect is Effect.BLOCKS)

    @property
    def warnings(self) -> tuple[GateResult, ...]:
        """Gates that somebody should look at."""
        return tuple(gate for gate in self.gates if gate.effect is Effect.WARNS)

    @property
    def baseline_digest(self) -> str | None:
        """Of the baseline encoder, where there was one."""
        baseline = self.references.get("baseline")
        return baseline.encoder_digest if baseline else None

    @property
    def reason(self) -> str:
        """How many gates block, and why the first of the worst does; else how many warn."""
        if self.blocking:
            first = next(gate for gate in self.blocking if gate.status is self.status)
            return (
                f"{len(self.blocking)} of {len(self.gates)} gates did not pass; "
                f"{first.id}: {first.reason}"
            )
        warned = f", {len(self.warnings)} with a warning" if self.warnings else ""
        return f"All {len(self.gates)} gates let it pass{warned}."

    @cached_property
    def digest(self) -> str:
        """Of everything above."""
        return digest_of(self._facts())

    def to_summary(self) -> dict[str, Any]:
        """What a run's summary says: status and each gate's id, status, effect and reason."""
        gates = [
            {"id": g.id, "status": str(g.status), "effect": str(g.effect), "reason": g.reason}
            for g in self.gates
        ]
        return {"status": str(self.status), "gates": gates}

    def save(self, folder: Path) -> None:
        """Write decision.json into a folder."""
        write_json(Path(folder) / DECISION, self._facts() | {"digest": self.digest})

    @classmethod
    def load(cls, folder: Path) -> "GateDecision":
        """Read a folder written by `save`.

        Raises:
            UserInputError: if it is missing, of another form or was altered.
        """
        folder = Path(folder)
        facts = read_facts(folder / DECISION, KEYS)
        digest, status = facts.pop("digest"), facts.pop("status")
        try:
            gates = [_gate(g) for g in facts.pop("gates")]
            references = {k: Reference(**r) for k, r in facts.pop("references").items()}
            decision = cls(gates=tuple(gates), references=references, **facts)
            intact = decision.digest == digest and decision.status == status
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise UserInputError(
                f"{folder / DECISION} is not a decision of this version: {error}."
            ) from error
        if not intact:
            raise altered("gate decision", folder)
        return decision

    def _facts(self) -> dict[str, Any]:
        return {
            "status": str(self.status),
            "policy": self.policy,
            "gates": [
                asdict(gate)
                | {"status": str(gate.status), "effect": str(gate.effect)}
                | {"slices": [asdict(part) for part in gate.slices]}
                for gate in self.gates
            ],
            "encoder_digest": self.encoder_digest,
            "dataset_digest": self.dataset_digest,
            "policy_digest": self.policy_digest,
            "report_digest": self.report_digest,
            "references": {role: asdict(r) for role, r in self.references.items()},
            "evidence": dict(self.evidence),
        }


def _gate(facts: dict[str, Any]) -> GateResult:
    slices = tuple(SliceFigure(**part) for part in facts["slices"])
    read = {"status": Status(facts["status"]), "effect": Effect(facts["effect"]), "slices": slices}
    return GateResult(**facts | read)
