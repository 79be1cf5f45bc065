"""Corrupted queries: does the encoder still find a class when the picture is poor?

One severity each, about the second of five of ImageNet-C (Hendrycks & Dietterich, arXiv 1903.12261),
stated relative to the picture where its size matters, so that a large photo, which preprocessing
shrinks, suffers as much as a small one:

| name | what it does |
|---|---|
| gaussian_noise | adds normal noise of 12 % of the range, in grains of 1/224 of the shorter side |
| gaussian_blur | blurs with a radius (standard deviation) of 1 % of the shorter side |
| jpeg | stores as JPEG of quality 15 and reads it again |
| crop | keeps 75 % of width and height, at a random place |

Deterministic: the draw depends on the corruption and the image's id alone, so that every encoder is
shown the same pixels. They are applied to the upright RGB picture before an encoder's preprocessing.
"""

import hashlib
import io
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image  # loaded where it is used: configurations only need the names

SEED = 0
NOISE_DEVIATION = 0.12
"""Of the range of a channel, 255."""
NOISE_GRAINS = 224
"""Along the shorter side; in a smaller picture a grain is a pixel."""
BLUR_SHARE = 0.01
"""Standard deviation of the blur, of the shorter side."""
JPEG_QUALITY = 15
CROP_SHARE = 0.75
"""Of each side that is kept."""

PREFIX = "corrupted."
"""A report's per-query column of the corruption "jpeg" is "corrupted.jpeg"."""


def corrupt(image: "Image.Image", name: str, image_id: str) -> "Image.Image":
    """A corrupted copy.

    Args:
        image: RGB.
        name: of the corruption.
        image_id: fixes the draw.

    Raises:
        KeyError: if there is no such corruption.
    """
    seed = hashlib.sha256(f"{SEED}\n{name}\n{image_id}".encode()).digest()
    return CORRUPTIONS[name](image, np.random.default_rng(int.from_bytes(seed[:16])))


def _gaussian_noise(image: "Image.Image", rng: np.random.Generator) -> "Image.Image":
    from PIL import Image

    pixels = np.asarray(image, np.float32)
    height, width = pixels.shape[:2]
    grain = max(1.0, min(height, width) / NOISE_GRAINS)
    rows, columns = (np.arange(side) / grain for side in (height, width))
    shape = (int(rows[-1]) + 1, int(columns[-1]) + 1, 3)
    noise = rng.normal(0, 255 * NOISE_DEVIATION, shape).astype(np.float32)
    noisy = pixels + noise[rows.astype(int)][:, columns.astype(int)]
    return Image.fromarray(np.rint(noisy.clip(0, 255)).astype(np.uint8))


def _gaussian_blur(image: "Image.Image", rng: np.random.Generator) -> "Image.Image":
    from PIL import ImageFilter

    return image.filter(ImageFilter.GaussianBlur(BLUR_SHARE * min(image.size)))


def _jpeg(image: "Image.Image", rng: np.random.Generator) -> "Image.Image":
    from PIL import Image

    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    with Image.open(buffer) as stored:
        return stored.convert("RGB")


def _crop(image: "Image.Image", rng: np.random.Generator) -> "Image.Image":
    width, height = (max(1, round(CROP_SHARE * side)) for side in image.size)
    left = int(rng.integers(image.width - width, endpoint=True))
    top = int(rng.integers(image.height - height, endpoint=True))
    return image.crop((left, top, left + width, top + height))


CORRUPTIONS: dict[str, Callable[["Image.Image", np.random.Generator], "Image.Image"]] = {
    "gaussian_noise": _gaussian_noise,
    "gaussian_blur": _gaussian_blur,
    "jpeg": _jpeg,
    "crop": _crop,
}
