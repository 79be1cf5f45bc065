"""GateDecision."""

from typing import Any, ClassVar

from zenml.enums import VisualizationType

from materializers.folder import FolderMaterializer
from saga.gates.decision import GateDecision


class DecisionMaterializer(FolderMaterializer):
    """JSON; the page of all gates."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (GateDecision,)

    def facts(self, data: GateDecision) -> dict[str, Any]:
        """Status, reason and the digests of what was judged."""
        return {
            "status": str(data.status),
            "reason": data.reason,
            "policy": data.policy,
            "policy_digest": data.policy_digest,
            "encoder_digest": data.encoder_digest,
            "dataset_digest": data.dataset_digest,
        }

    def pictures(self, data: GateDecision) -> dict[str, Any]:
        """See the class."""
        from saga.reports.decision import decision_page

        return {"decision.html": (lambda: decision_page(data), VisualizationType.HTML)}
