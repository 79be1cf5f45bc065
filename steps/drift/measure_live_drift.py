"""Have the queries changed?"""

from typing import Annotated, Any

from zenml import step

from materializers.drift import DriftMaterializer
from saga.monitoring.measured import MeasuredImages
from saga.monitoring.policy import DriftPolicy
from saga.monitoring.report import DriftReport
from steps.drift.live import live_drift


@step(enable_cache=False, output_materializers={"drift": DriftMaterializer})
def measure_live_drift(
    queries: MeasuredImages,
    gallery: MeasuredImages,
    training: MeasuredImages,
    policy: dict[str, Any],
) -> Annotated[DriftReport, "drift"]:
    """Compare live queries with both references under a policy, given as plain values."""
    return live_drift(queries, gallery, training, DriftPolicy.from_dict(policy))
