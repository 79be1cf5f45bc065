"""Embeddings of a manifest's images.

Shapes: n images, E embedding width.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from saga.errors import UserInputError
from saga.files import sha256_file
from saga.retrieval.corruptions import corrupt

if TYPE_CHECKING:
    from PIL import Image

    from saga.data.configuration import ImageLimits
    from saga.data.manifest import DatasetManifest
    from saga.encoders.retriever import Retriever

Progress = Callable[[int, int], None]


def extract_embeddings(
    retriever: "Retriever",
    manifest: "DatasetManifest",
    frame: pd.DataFrame,
    batch_size: int = 64,
    progress: Progress | None = None,
    *,
    limits: "ImageLimits | None" = None,
    corruption: str | None = None,
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

    Returns:
        float32 (n, E), rows of unit length.

    Raises:
        ImageError: if a file cannot be read.
        UserInputError: if a file is not the one that the manifest lists.
        ValueError: if the encoder's output is not finite.
    """
    parts = [np.zeros((0, retriever.embedding_dim), np.float32)]
    for start in range(0, len(frame), batch_size):
        rows = frame.iloc[start : start + batch_size]
        images = load_images(manifest, rows, limits)
        if corruption is not None:
            images = [
                corrupt(i, corruption, str(name)) for i, name in zip(images, rows["image_id"])
            ]
        parts.append(retriever.encode(images, batch_size))
        if not np.isfinite(parts[-1]).all():
            near = manifest.image_path(rows["path"].iloc[0])
            raise ValueError(f"the encoder gave NaN or infinite values, e.g. near {near}")
        if progress is not None:
            progress(start + len(rows), len(frame))
    return np.concatenate(parts)


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
    from saga.data.images import load_image

    paths = [manifest.image_path(path) for path in frame["path"]]
    images = [load_image(path, limits or ImageLimits()) for path in paths]
    for path, recorded in zip(paths, frame["sha256"]):
        if sha256_file(path) != recorded:
            raise UserInputError(
                f"{path} has changed since the manifest was made: its sha256 differs. "
                "Load the dataset again, or restore the file."
            )
    return images
