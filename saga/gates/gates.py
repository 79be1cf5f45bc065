"""Judges a candidate by a policy."""

from collections.abc import Mapping

from saga.gates.base import Evidence, Gate, GateResult
from saga.gates.decision import GateDecision, Reference
from saga.gates.policy import GatePolicy
from saga.retrieval.report import RetrievalReport


def decide(
    policy: GatePolicy,
    candidate: RetrievalReport,
    references: Mapping[str, RetrievalReport] | None = None,
) -> GateDecision:
    """Every gate's outcome, bound to the digests of what was judged.

    Args:
        policy: the gates; all must pass.
        candidate: report of the encoder under judgement.
        references: reports of the encoders to compare with, by role ("baseline", …).

    Returns:
        A decision; a gate that could not be judged is ERROR in it, never a pass.
    """
    references = dict(references or {})
    evidence = Evidence(candidate, references)
    return GateDecision(
        policy=policy.name,
        gates=tuple(_judge(gate, evidence) for gate in policy.gates),
        encoder_digest=candidate.encoder_digest,
        dataset_digest=candidate.dataset_digest,
        policy_digest=policy.digest,
        report_digest=candidate.digest,
        references={role: Reference(r.encoder_digest, r.digest) for role, r in references.items()},
    )


def _judge(gate: Gate, evidence: Evidence) -> GateResult:
    try:
        return gate.judge(evidence)
    except (ValueError, TypeError, ArithmeticError, LookupError) as error:
        return gate.failed_to_judge(f"It could not be judged: {error}.")
