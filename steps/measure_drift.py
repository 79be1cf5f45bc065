"""Would the candidate see other images, and give other similarities, than what is in use?"""

from typing import Annotated, Any

from zenml import step

from materializers.drift import DriftMaterializer
from pipelines.progress import reporter
from saga.data.manifest import DatasetManifest
from saga.encoders.retriever import Retriever
from saga.monitoring.policy import DriftPolicy
from saga.monitoring.report import DriftReport
from saga.retrieval.report import RetrievalReport
from steps.drift.candidate import candidate_drift


@step(enable_cache=False, output_materializers={"drift": DriftMaterializer})
def measure_drift(
    manifest: DatasetManifest,
    encoder: Retriever,
    candidate: RetrievalReport,
    production: RetrievalReport | None,
    policy: dict[str, Any],
) -> Annotated[DriftReport, "drift"]:
    """Test against training images, candidate against production; warnings for the gates.

    Args:
        manifest: the data that was judged.
        encoder: the candidate.
        candidate: its report.
        production: of the version in use, on the same data; None where there is none.
        policy: the drift policy, as plain values.
    """
    return candidate_drift(
        manifest,
        encoder,
        candidate,
        production,
        DriftPolicy.from_dict(policy),
        reporter("measure drift"),
    )
