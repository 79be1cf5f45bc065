"""How well an encoder retrieves classes it has never seen."""

from typing import Annotated

from zenml import ArtifactConfig, step
from zenml.types import HTMLString

from materializers.report import ReportMaterializer
from pipelines.progress import reporter
from saga.data.configuration import ImageLimits
from saga.data.manifest import DatasetManifest
from saga.encoders.retriever import Retriever
from saga.reports.evaluation import evaluation_page
from saga.retrieval.configuration import RetrievalConfig
from saga.retrieval.evaluate import evaluate_encoder
from saga.retrieval.report import RetrievalReport


@step(enable_cache=False, output_materializers={"report_{arm}": ReportMaterializer})
def evaluate_retrieval(
    manifest: DatasetManifest,
    encoder: Retriever,
    name: str,
    evaluation: RetrievalConfig,
    limits: ImageLimits,
) -> tuple[
    Annotated[RetrievalReport, ArtifactConfig(name="report_{arm}")],
    Annotated[HTMLString, ArtifactConfig(name="page_{arm}")],
]:
    """Embed the test classes, search, and keep every query's outcome. Never reused."""
    report, page = evaluated(manifest, encoder, name, evaluation, limits)
    return report, page  # as a tuple, by which ZenML knows that there are two


def evaluated(
    manifest: DatasetManifest,
    encoder: Retriever,
    name: str,
    evaluation: RetrievalConfig,
    limits: ImageLimits,
) -> tuple[RetrievalReport, HTMLString]:
    """An encoder's report on the test classes, and its page."""
    frame = manifest.subset("test")
    report = evaluate_encoder(
        encoder, manifest, frame, evaluation, name, limits, reporter(f"evaluate {name}")
    )
    return report, HTMLString(evaluation_page(report, manifest, encoder, limits))
