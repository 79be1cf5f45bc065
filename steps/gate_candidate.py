"""May this encoder be promoted?"""

from typing import Annotated, Any

from zenml import step

from materializers.decision import DecisionMaterializer
from saga.gates.decision import GateDecision
from saga.gates.gates import decide
from saga.gates.policy import GatePolicy
from saga.retrieval.report import RetrievalReport


@step(enable_cache=False, output_materializers={"decision": DecisionMaterializer})
def gate_candidate(
    candidate: RetrievalReport, baseline: RetrievalReport, policy: dict[str, Any]
) -> Annotated[GateDecision, "decision"]:
    """Judge the candidate by every gate of the policy. Never reused; promotes nothing."""
    return decide(GatePolicy.from_dict(policy), candidate, {"baseline": baseline})
