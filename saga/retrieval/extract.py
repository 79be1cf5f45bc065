"""Embeddings of a manifest's images.

Worker threads read, verify, decode, corrupt and resize the next batches while the tower embeds one.
Beside what the encoder takes, memory holds resized images of at most 2 + `prefetch_batches` batches
(of an encoder without preprocessing of its own, whole pictures), and a worker holds one file and what
it decodes to.

Shapes: n images, E embedding width, S side in pixels.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from saga.data.configuration import LoadingConfig
from saga.retrieval.corruptions import corrupt

if TYPE_CHECKING:
    from PIL import Image

    from saga.data.configuration import ImageLimits
    from saga.data.manifest import DatasetManifest
    from saga.encoders.retriever import Retriever

Progress = Callable[[int, int], None]
DEFAULT_LOADING = LoadingConfig()


def extract_embeddings(
    retriever: "Retriever",
    manifest: "DatasetManifest",
    frame: pd.DataFrame,
    batch_size: int = 64,
    progress: Progress | None = None,
    *,
    limits: "ImageLimits | None" = None,
    corruption: str | None = None,
    loading: LoadingConfig = DEFAULT_LOADING,
) -> np.ndarray:
    """Embed images in the order of `frame`.

    Args:
        retriever: the encoder.
        manifest: says where the images are.
        frame: rows of the manifest (path, sha256; with a corruption image_id).
        batch_size: images at once; bounds memory.
        progress: called with (images done, images).
        limits: what the image loader accepts; None takes its defaults.
        corruption: name of one that every image suffers before it is embedded.
        loading: threads, and batches that are read ahead; nothing is cached.

    Returns:
        float32 (n, E), rows of unit length.

    Raises:
        ImageError: if a file cannot be read.
        UserInputError: if a file is not the one that the manifest lists.
        ValueError: if the encoder's output is not finite.
    """
    from saga.data.overlap import in_batches

    work = _preparation(retriever, manifest, frame, limits, corruption)
    starts = range(0, len(frame), batch_size)
    batches = (range(start, min(start + batch_size, len(frame))) for start in starts)
    parts = [np.zeros((0, retriever.embedding_dim), np.float32)]
    with closing(in_batches(work, batches, loading)) as ready:
        for start, images in zip(starts, ready):
            parts.append(retriever.encode(_together(images), batch_size))
            if not np.isfinite(parts[-1]).all():
                near = manifest.image_path(frame["path"].iloc[start])
                raise ValueError(f"the encoder gave NaN or infinite values, e.g. near {near}")
            if progress is not None:
                progress(start + len(images), len(frame))
    return np.concatenate(parts)


def _preparation(
    retriever: "Retriever",
    manifest: "DatasetManifest",
    frame: pd.DataFrame,
    limits: "ImageLimits | None",
    corruption: str | None,
) -> "Callable[[int], Image.Image | np.ndarray]":
    """What a worker does with a row: everything that is done to one image alone."""
    from saga.data.configuration import ImageLimits
    from saga.data.reading import ImageReader

    reader = ImageReader.of(manifest, frame, limits or ImageLimits())
    names = [] if corruption is None else [str(name) for name in frame["image_id"]]
    # A stand-in that only has `encode` gets the pictures as they are.
    preprocessor = getattr(retriever, "preprocessor", None)

    def prepare(row: int) -> "Image.Image | np.ndarray":
        image = reader.read(row)
        if corruption is not None:
            image = corrupt(image, corruption, names[row])
        return image if preprocessor is None else preprocessor.resize(image)

    return prepare


def _together(
    images: "Sequence[Image.Image | np.ndarray]",
) -> "Sequence[Image.Image | np.ndarray] | np.ndarray":
    """Resized images as one array (n, S, S, 3)."""
    resized = isinstance(images[0], np.ndarray)
    return np.stack([np.asarray(image) for image in images]) if resized else images


def load_images(
    manifest: "DatasetManifest", frame: pd.DataFrame, limits: "ImageLimits | None" = None
) -> list["Image.Image"]:
    """Decode a manifest's images, RGB and upright.

    Every file is compared with the digest that the manifest recorded: embeddings of files that have
    changed since would be told as figures of a dataset that they are not of.

    Args:
        manifest: says where the images are.
        frame: rows of the manifest (path, sha256).
        limits: what the image loader accepts; None takes its defaults.

    Raises:
        ImageError: if a file cannot be read.
        UserInputError: if a file is not the one that the manifest lists.
    """
    from saga.data.configuration import ImageLimits
    from saga.data.reading import ImageReader

    reader = ImageReader.of(manifest, frame, limits or ImageLimits())
    return [reader.read(row) for row in range(len(frame))]
