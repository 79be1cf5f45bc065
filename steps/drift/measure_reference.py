"""What queries are compared with: the images that the version was judged and trained on."""

from typing import Annotated

from zenml import step

from materializers.drift import MeasuredImagesMaterializer
from pipelines.progress import reporter
from saga.data.configuration import ImageLimits
from saga.data.manifest import DatasetManifest
from saga.monitoring.measured import MeasuredImages, files_of, measure_images
from steps.drift.registered import registered, registered_encoder


@step(
    output_materializers={
        "gallery": MeasuredImagesMaterializer,
        "training": MeasuredImagesMaterializer,
    }
)
def measure_reference(
    model: str, version: str, split: str, limits: ImageLimits, device: str, code: str
) -> tuple[Annotated[MeasuredImages, "gallery"], Annotated[MeasuredImages, "training"]]:
    """Embed and measure a version's gallery and training images; reused while it is the version.

    Args:
        model: name of the registered model.
        version: its number.
        split: of the version's manifest that is the gallery.
        limits: what the image loader accepts.
        device: auto, cpu or cuda.
        code: digest of our code, so that other code looks again.
    """
    from pipelines.registry import MANIFEST

    manifest: DatasetManifest = registered(model, version, MANIFEST)
    encoder = registered_encoder(model, version, device)
    gallery, training = (
        measure_images(name, encoder, files_of(manifest, part), limits, reporter(f"embed {name}"))
        for name, part in (("gallery", split), ("training", "train"))
    )
    return gallery, training
