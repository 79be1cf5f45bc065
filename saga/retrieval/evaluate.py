"""An encoder's report on some images: embed, search, keep every query's outcome."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
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
        config: batch size, search, metrics, corruptions.
        name: of the encoder in the report.
        limits: what the image loader accepts.
        progress: called with (images done, images); every corruption embeds all once more.
    """
    total = len(frame) * (1 + len(config.corruptions))

    def embed(number: int, corruption: str | None) -> np.ndarray:
        """The pass of this number."""
        tell = None if progress is None else partial(_tell, progress, number * len(frame), total)
        return extract_embeddings(
            encoder,
            manifest,
            frame,
            config.batch_size,
            tell,
            limits=limits,
            corruption=corruption,
        )

    vectors = embed(0, None)
    corrupted = {name: embed(i, name) for i, name in enumerate(config.corruptions, start=1)}
    return evaluate_embeddings(
        vectors,
        frame,
        config,
        name=name,
        encoder_digest=encoder.digest,
        dataset_digest=manifest.digest,
        corrupted=corrupted,
    )


def _tell(progress: Callable[[int, int], None], before: int, total: int, done: int, _: int) -> None:
    progress(before + done, total)
