"""What a service is asked: a folder of live images."""

from pathlib import Path
from typing import Annotated

from zenml import step

from materializers.drift import MeasuredImagesMaterializer
from pipelines.images import collect
from pipelines.progress import reporter
from saga.data.configuration import ImageLimits
from saga.monitoring.measured import MeasuredImages, measure_images
from saga.monitoring.queries import query_files, read_labels
from steps.drift.registered import registered_encoder


@step(enable_cache=False, output_materializers={"queries": MeasuredImagesMaterializer})
def measure_queries(
    model: str,
    version: str,
    gallery: MeasuredImages,
    folder: str,
    labels: str | None,
    limits: ImageLimits,
    device: str,
) -> Annotated[MeasuredImages, "queries"]:
    """Embed and measure live images. Never reused: the folder's content changes.

    Args:
        model: name of the registered model.
        version: its number.
        gallery: whose classes name folders of labelled queries.
        folder: of the images.
        labels: CSV file, or None.
        limits: what the image loader accepts.
        device: auto, cpu or cuda.
    """
    files = query_files(
        Path(folder),
        collect([Path(folder)]),
        limits,
        set(gallery.frame["class_name"].dropna()),
        None if labels is None else read_labels(Path(labels)),
    )
    encoder = registered_encoder(model, version, device)
    return measure_images("queries", encoder, files, limits, reporter("embed queries"))
