"""May this encoder be promoted?"""

from typing import Annotated, Any

from zenml import step

from materializers.decision import DecisionMaterializer
from saga.gates.base import BASELINE, CANDIDATE, PRODUCTION
from saga.gates.decision import GateDecision
from saga.gates.gates import decide
from saga.gates.policy import GatePolicy
from saga.monitoring.report import DriftReport
from saga.retrieval.measurements import Measurements
from saga.retrieval.report import RetrievalReport


@step(enable_cache=False, output_materializers={"decision": DecisionMaterializer})
def gate_candidate(
    candidate: RetrievalReport,
    baseline: RetrievalReport,
    measured: Measurements,
    measured_baseline: Measurements,
    drift: DriftReport,
    policy: dict[str, Any],
    production: RetrievalReport | None = None,
    measured_production: Measurements | None = None,
) -> Annotated[GateDecision, "decision"]:
    """Judge the candidate by every gate of the policy. Never reused; promotes nothing.

    Args:
        candidate: report of the encoder under judgement.
        baseline: of the one trained by labels alone.
        measured: latency, width, agreement after reload of the candidate.
        measured_baseline: of the baseline.
        drift: of the candidate's data, and against production.
        policy: the gates, as plain values.
        production: report of what was in production by then; None where nothing was.
        measured_production: of that version.
    """
    reports = {BASELINE: baseline, PRODUCTION: production}
    figures = {CANDIDATE: measured, BASELINE: measured_baseline, PRODUCTION: measured_production}
    return decide(
        GatePolicy.from_dict(policy),
        candidate,
        {role: report for role, report in reports.items() if report is not None},
        {role: found for role, found in figures.items() if found is not None},
        drift,
    )
