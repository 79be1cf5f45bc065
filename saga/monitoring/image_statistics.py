"""Plain properties of an image, which an encoder does not know of: what changed, when something did.

All but size and aspect are measured on the upright image scaled down to at most 256 pixels a side,
so that a file's resolution does not pass for sharpness.
"""

import numpy as np
from PIL import Image

LONGEST_SIDE = 256
"""In pixels; smaller images are not enlarged."""
GREY = np.array([0.299, 0.587, 0.114], np.float32)
STATISTICS = {
    "brightness": "mean of the grey values, from 0 to 1",
    "contrast": "standard deviation of the grey values",
    "sharpness": "standard deviation of the grey values' Laplacian",
    "warmth": "mean red minus mean blue",
    "greenness": "mean green minus the mean of red and blue",
    "aspect": "width over height",
    "size": "square root of width times height, in pixels",
}
"""What is measured, and in which unit."""


def image_statistics(image: Image.Image) -> dict[str, float]:
    """Every statistic of an RGB image, by name.

    Args:
        image: upright, 8 bits a channel, at least one pixel.
    """
    small = image.convert("RGB")
    small.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BILINEAR)
    pixels = np.asarray(small, np.float32) / 255
    grey = pixels @ GREY
    red, green, blue = (float(mean) for mean in pixels.mean(axis=(0, 1)))
    return {
        "brightness": float(grey.mean()),
        "contrast": float(grey.std()),
        "sharpness": _sharpness(grey),
        "warmth": red - blue,
        "greenness": green - (red + blue) / 2,
        "aspect": image.width / image.height,
        "size": float(np.sqrt(image.width * image.height)),
    }


def _sharpness(grey: np.ndarray) -> float:
    """Of the inner pixels; 0 where there are none."""
    if min(grey.shape) < 3:
        return 0.0
    inner = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((around - 4 * inner).std())
