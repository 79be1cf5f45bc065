"""Should the encoder be trained again?"""

from typing import Annotated, Any

from zenml import log_metadata, step

from saga.monitoring.policy import DriftPolicy
from saga.monitoring.report import DriftReport
from saga.monitoring.verdict import judge


@step(enable_cache=False)
def decide_retraining(drift: DriftReport, policy: dict[str, Any]) -> Annotated[str, "verdict"]:
    """STEADY, WATCH, RETRAIN or INCONCLUSIVE; starts and promotes nothing."""
    verdict = judge(drift, DriftPolicy.from_dict(policy))
    log_metadata(
        metadata={"state": str(verdict.state), "reason": verdict.reason}, infer_artifact=True
    )
    return str(verdict.state)
