"""What is in use today: as good as the candidate, as fast?

A run that was frozen weeks ago (a schedule's) looks it up like one that begins now.
"""

from typing import Annotated

from zenml import log_metadata, step
from zenml.materializers import BuiltInMaterializer
from zenml.types import HTMLString

from materializers.measurements import MeasurementsMaterializer
from materializers.report import ReportMaterializer
from saga.data.configuration import ImageLimits
from saga.data.manifest import DatasetManifest
from saga.gates.base import PRODUCTION
from saga.retrieval.configuration import RetrievalConfig
from saga.retrieval.measurements import Measurements
from saga.retrieval.report import RetrievalReport
from steps.evaluate_retrieval import evaluated
from steps.measure_encoder import measured

REPORT = "report_production"


@step(
    enable_cache=False,
    output_materializers={
        REPORT: (ReportMaterializer, BuiltInMaterializer),
        "measurements_production": (MeasurementsMaterializer, BuiltInMaterializer),
    },
)
def evaluate_production(
    manifest: DatasetManifest, model: str, evaluation: RetrievalConfig, limits: ImageLimits
) -> tuple[
    Annotated[RetrievalReport | None, REPORT],
    Annotated[HTMLString, "page_production"],
    Annotated[Measurements | None, "measurements_production"],
]:
    """Evaluate and measure the version in production now; None where nothing is. Never reused.

    Args:
        manifest: the data on which the candidate is judged.
        model: name of the registered model.
        evaluation: as for the candidate.
        limits: what the image loader accepts.
    """
    from pipelines.registry import live_encoder, production

    live = production(model)
    if live is None:
        return None, HTMLString("<p>Nothing was in production.</p>"), None
    log_metadata(
        metadata={"production_version": live.version}, artifact_name=REPORT, infer_artifact=True
    )
    encoder = live_encoder(live)
    report, page = evaluated(manifest, encoder, PRODUCTION, evaluation, limits)
    return report, page, measured(manifest, encoder, PRODUCTION, limits)
