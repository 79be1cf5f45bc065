"""What an encoder costs, and whether it is the same after saving."""

from typing import Annotated

import numpy as np
from zenml import ArtifactConfig, step

from materializers.measurements import MeasurementsMaterializer
from saga.data.configuration import ImageLimits
from saga.data.manifest import DatasetManifest
from saga.encoders.retriever import Retriever
from saga.retrieval import measurements
from saga.retrieval.extract import load_images
from saga.retrieval.measurements import IMAGES, Measurements


@step(enable_cache=False, output_materializers={"measurements_{arm}": MeasurementsMaterializer})
def measure_encoder(
    manifest: DatasetManifest, encoder: Retriever, name: str, limits: ImageLimits
) -> Annotated[Measurements, ArtifactConfig(name="measurements_{arm}")]:
    """Time it on some test images, save it, load it and compare. Never reused."""
    return measured(manifest, encoder, name, limits)


def measured(
    manifest: DatasetManifest, encoder: Retriever, name: str, limits: ImageLimits
) -> Measurements:
    """An encoder's figures on test images from all over the table."""
    frame = manifest.subset("test")
    spread = np.unique(np.linspace(0, len(frame) - 1, min(IMAGES, len(frame))).astype(int))
    images = load_images(manifest, frame.iloc[spread], limits)
    return measurements.measure_encoder(encoder, images, name=name)
