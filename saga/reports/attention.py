"""Where the pooler looks: its weights over an image's tokens, laid over the image.

Shapes: n images, Q pooler queries, rows × columns of tokens.
"""

import numpy as np
import pandas as pd
from PIL import Image

from saga.data.configuration import ImageLimits
from saga.data.images import load_image
from saga.data.manifest import DatasetManifest
from saga.encoders.retriever import Retriever
from saga.reports.pictures import BORDER, TILE, row, stack, tile

COLORS = "inferno"
"""Brighter is more, in print and to colour-blind readers too."""
DARKEST = 0.35
"""Where its range begins: below, it is as dark as a shadow."""
OPACITY = 0.85
DIMMED = 0.75
"""Brightness that is left to the image below the colours."""
SIDE = TILE - 2 * BORDER


def attention_overlays(
    retriever: Retriever,
    manifest: DatasetManifest,
    frame: pd.DataFrame,
    limits: ImageLimits,
    images: int = 8,
    seed: int = 0,
) -> bytes | None:
    """PNG with a row of images, and below it a row of weights for each query of the pooler.

    Args:
        retriever: the encoder.
        manifest: where the images are.
        frame: rows of the manifest to choose from.
        limits: what the image loader accepts.
        images: most columns.
        seed: of the choice.

    Returns:
        None for a pooler without attention, and where there is no image.
    """
    chosen = np.random.default_rng(seed).permutation(len(frame))[:images]
    rows = frame.iloc[sorted(chosen)]
    pictures = [load_image(manifest.image_path(path), limits) for path in rows["path"]]
    weights_nQRC = retriever.attention(pictures) if pictures else None
    if weights_nQRC is None:
        return None
    # The encoder sees the image squeezed into a square, and so do its weights.
    squares = [picture.resize((SIDE, SIDE)) for picture in pictures]
    strips = [row([tile(s, text=str(n)) for s, n in zip(squares, rows["class_name"])])]
    names = retriever.pooler.config.queries or ("",)
    for query, weights_nRC in zip(names, weights_nQRC.transpose(1, 0, 2, 3), strict=True):
        name = f"{query}, " if query else ""
        tiles = [
            tile(overlay(square, weights), text=f"{name}peak {_peak(weights):.1f}× even")
            for square, weights in zip(squares, weights_nRC)
        ]
        strips.append(row(tiles))
    return stack(strips)


def overlay(image: Image.Image, weights_RC: np.ndarray) -> Image.Image:
    """The dimmed image, coloured where a weight is above an even share of them all.

    The largest weight has the full colour if it is at least twice an even share, so that even
    attention does not look like a choice.

    Args:
        image: RGB.
        weights_RC: at least 0, summing to 1.
    """
    import matplotlib

    times_even = weights_RC * weights_RC.size
    above = np.clip((times_even - 1) / max(float(times_even.max()) - 1, 1.0), 0, 1)
    small = Image.fromarray(above.astype(np.float32))
    share = np.clip(np.asarray(small.resize(image.size, Image.Resampling.BICUBIC)), 0, 1)
    heat = matplotlib.colormaps[COLORS](DARKEST + (1 - DARKEST) * share)[..., :3] * 255
    grey = np.asarray(image.convert("L"), float)[..., None] * DIMMED
    opacity = OPACITY * share[..., None]
    return Image.fromarray(np.rint((1 - opacity) * grey + opacity * heat).astype(np.uint8))


def _peak(weights_RC: np.ndarray) -> float:
    """The largest weight in even shares."""
    return float(weights_RC.max() * weights_RC.size)
