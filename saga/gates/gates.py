"""Judges a candidate by a policy."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from saga.gates.base import (
    BASELINE,
    PRODUCTION,
    Evidence,
    Gate,
    GateResult,
    MissingMetricError,
    Status,
)
from saga.gates.decision import GateDecision, Reference
from saga.gates.policy import GatePolicy
from saga.retrieval.report import RetrievalReport

if TYPE_CHECKING:
    from saga.monitoring.report import DriftReport
    from saga.retrieval.measurements import Measurements


def decide(
    policy: GatePolicy,
    candidate: RetrievalReport,
    references: Mapping[str, RetrievalReport] | None = None,
    measurements: Mapping[str, "Measurements"] | None = None,
    drift: "DriftReport | None" = None,
) -> GateDecision:
    """Every gate's outcome, bound to the digests of what was judged.

    Args:
        policy: the gates; all that block must pass.
        candidate: report of the encoder under judgement.
        references: reports of the encoders to compare with, by role ("baseline", "production"). No
            report of production means that nothing is in production: the policy's cold-start rule.
        measurements: of encoders, by role ("candidate", "production").
        drift: of the candidate's data.

    Returns:
        A decision; a gate that could not be judged is ERROR in it, never a pass.
    """
    references, measurements = dict(references or {}), dict(measurements or {})
    evidence = Evidence(candidate, references, measurements, drift)
    found = {f"measurements of the {role}": m.digest for role, m in measurements.items()}
    return GateDecision(
        policy=policy.name,
        gates=tuple(_judge(gate, policy, evidence) for gate in policy.gates),
        encoder_digest=candidate.encoder_digest,
        dataset_digest=candidate.dataset_digest,
        policy_digest=policy.digest,
        report_digest=candidate.digest,
        references={role: Reference(r.encoder_digest, r.digest) for role, r in references.items()},
        evidence=found | ({} if drift is None else {"drift": drift.digest}),
    )


def _judge(gate: Gate, policy: GatePolicy, evidence: Evidence) -> GateResult:
    note = ""
    if gate.compared_with == PRODUCTION and PRODUCTION not in evidence.references:
        note = "Nothing is in production yet"
        if policy.cold_start == "skip":
            reason = f"{note}: the policy's cold start leaves this gate out."
            return gate.result(Status.PASS, reason, reference=PRODUCTION)
        if policy.cold_start == "refuse":
            result = gate.failed_to_judge(
                f"{note}, and the policy says how to begin with `cold_start`: refuse."
            )
            return replace(result, effect=gate.effect(result.status))
        gate = replace(gate, reference=BASELINE)  # type: ignore[call-arg]
    missing = False
    try:
        result = gate.judge(evidence, policy.statistics)
    except MissingMetricError as error:
        result, missing = gate.failed_to_judge(f"It could not be judged: {error}."), True
    except (ValueError, TypeError, ArithmeticError, LookupError) as error:
        result = gate.failed_to_judge(f"It could not be judged: {error}.")
    reason = f"{note}; the baseline stands in. {result.reason}" if note else result.reason
    return replace(result, reason=reason, effect=gate.effect(result.status, missing))
