"""An encoder's report on some images: embed, search, keep every query's outcome."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd

from saga.data.configuration import ImageLimits
from saga.data.manifest import DatasetManifest
from saga.retrieval.configuration import RetrievalConfig
from saga.retrieval.extract import extract_embeddings
from saga.retrieval.metrics import evaluate_embeddings
from saga.retrieval.report import RetrievalReport

if TYPE_CHECKING:
    from saga.encoders.retriever import Retriever


def evaluate_encoder(
    encoder: "Retriever",
    manifest: DatasetManifest,
    frame: pd.DataFrame,
    config: RetrievalConfig,
    name: str,
    limits: ImageLimits,
    progress: Callable[[int, int], None] | None = None,
) -> RetrievalReport:
    """Judge an encoder on some rows of a manifest.

    Args:
        encoder: to judge.
        manifest: where the images are.
        frame: rows that are queries and gallery.
        config: batch size, search, metrics.
        name: of the encoder in the report.
        limits: what the image loader accepts.
        progress: called with (images done, images).
    """
    vectors = extract_embeddings(
        encoder, manifest, frame, config.batch_size, progress, limits=limits
    )
    return evaluate_embeddings(
        vectors,
        frame,
        config,
        name=name,
        encoder_digest=encoder.digest,
        dataset_digest=manifest.digest,
    )
