"""A guarded image loader: whatever a file claims to be, it is checked before it is decoded.

Allowed formats only, a pixel cap from the header (17 kB can decode to 600 MB), EXIF orientation is
applied, and every mode becomes 8-bit RGB without losing what it shows: 16-bit is scaled (not
saturated), palettes and CMYK are converted, transparency is put on white. Safe to call from several
threads.

A file whose digest is to be checked is read once: `read_file`, then `decode_image`.
"""

import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from saga.data.configuration import ImageLimits
from saga.errors import UserInputError

DEFAULT_LIMITS = ImageLimits()
ORIENTATION_TAG = 0x0112
DEEP_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")
LARGEST_PIXEL_BYTES = 16
"""Four channels of 32 bits."""
METADATA_BYTES = 1 << 24
"""Of a file, beside its pixels."""
Box = tuple[float, float, float, float]


class ImageError(UserInputError):
    """A file that is not an image we accept; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says about itself before decoding."""

    width: int
    """After EXIF orientation, in pixels."""
    height: int
    mode: str
    format: str
    orientation: int
    """EXIF orientation, 1 to 8."""


def read_header(path: Path, limits: ImageLimits = DEFAULT_LIMITS) -> Header:
    """Size, mode and format of an image, checked against the limits, without decoding it.

    Raises:
        ImageError: if the file is missing, empty, no image, of another format, or too large.
    """
    with _guarded(path), Image.open(_existing(path)) as image:
        return _checked_header(path, image, limits)


def load_image(path: Path, limits: ImageLimits = DEFAULT_LIMITS) -> Image.Image:
    """Decode an image to 8-bit RGB, upright.

    Raises:
        ImageError: as `read_header`, or if the file is truncated.
    """
    # Not by its name: PIL then maps some files into memory, and mixes up the rows of TIFFs that lie
    # on their side.
    with _guarded(path), open(_existing(path), "rb") as file, Image.open(file) as image:
        return _upright_rgb(path, image, limits)


def read_file(path: Path, limits: ImageLimits = DEFAULT_LIMITS) -> bytes:
    """All of an image file; nothing is decoded.

    Raises:
        ImageError: if it is missing, empty, cannot be read, or is larger than an uncompressed image
            of the accepted size.
    """
    most = limits.max_pixels * LARGEST_PIXEL_BYTES + METADATA_BYTES
    with _guarded(path), open(_existing(path), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise ImageError(
                f"{path}: the file has {size:,} bytes; an image of at most {limits.max_pixels:,} "
                f"pixels needs no more than {most:,}. Replace it or remove its row."
            )
        return file.read(size)


def decode_image(data: bytes, path: Path, limits: ImageLimits = DEFAULT_LIMITS) -> Image.Image:
    """What `load_image` gives, from bytes that `read_file` gave.

    Args:
        data: of the file.
        path: for messages only.
        limits: as for `load_image`.

    Raises:
        ImageError: as `load_image`.
    """
    with _guarded(path), Image.open(io.BytesIO(data)) as image:
        return _upright_rgb(path, image, limits)


def transform_box(box: Box, width: int, height: int, orientation: int) -> Box:
    """A box (x, y, width, height) of the stored pixels, in the upright image.

    Args:
        box: in pixels of the image as stored.
        width: of the image as stored.
        height: of the image as stored.
        orientation: EXIF orientation, 1 to 8.
    """
    x, y, w, h = box
    corners = [(x, y), (x + w, y + h)]
    moved = [_move(cx, cy, width, height, orientation) for cx, cy in corners]
    xs, ys = zip(*moved)
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def _move(x: float, y: float, width: int, height: int, orientation: int) -> tuple[float, float]:
    """One point from stored to upright coordinates."""
    return {
        1: (x, y),
        2: (width - x, y),
        3: (width - x, height - y),
        4: (x, height - y),
        5: (y, x),
        6: (height - y, x),
        7: (height - y, width - x),
        8: (y, width - x),
    }[orientation]


def _checked_header(path: Path, image: Image.Image, limits: ImageLimits) -> Header:
    # As stored; a TIFF's own size is upright already in newer versions of PIL.
    width, height = getattr(image, "_tile_size", image.size)
    if image.format not in limits.formats:
        raise ImageError(
            f"{path}: format {image.format} is not accepted; allowed: {', '.join(limits.formats)}."
        )
    if width * height > limits.max_pixels:
        raise ImageError(
            f"{path}: {width}×{height} = {width * height:,} pixels is more than the cap of "
            f"{limits.max_pixels:,}. Scale it down, or raise dataset.limits.max_pixels."
        )
    orientation = image.getexif().get(ORIENTATION_TAG, 1)
    orientation = orientation if orientation in range(1, 9) else 1
    if orientation >= 5:
        width, height = height, width
    return Header(width, height, image.mode, str(image.format), orientation)


def _upright_rgb(path: Path, image: Image.Image, limits: ImageLimits) -> Image.Image:
    _checked_header(path, image, limits)
    image.load()
    return _to_rgb(ImageOps.exif_transpose(image))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in DEEP_MODES:
        return _deep_to_rgb(image)
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        layered = image.convert("RGBA")
        white = Image.new("RGBA", layered.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layered).convert("RGB")
    return image.convert("RGB")


def _deep_to_rgb(image: Image.Image) -> Image.Image:
    """Scale 16-bit, 32-bit and float greys to 8 bits; PIL's own conversion saturates."""
    values = np.asarray(image).astype(np.float64)
    if image.mode.startswith("I;16"):
        top = 65535.0
    else:
        largest = float(np.nanmax(values, initial=0))
        top = next((t for t in (1.0, 255.0, 65535.0) if largest <= t), largest)
    grey = np.nan_to_num(np.clip(values / top, 0, 1)) * 255
    return Image.fromarray(np.rint(grey).astype(np.uint8)).convert("RGB")


def _existing(path: Path) -> Path:
    """The path, if a file with content is there; a pipe would never end."""
    path = Path(path)
    if not path.is_file():
        raise ImageError(f"{path}: no such file.")
    if path.stat().st_size == 0:
        raise ImageError(f"{path}: the file is empty. Replace it or remove its row.")
    return path


class _guarded:  # noqa: N801
    """Turns whatever the decoder raises into an ImageError that names the file.

    The pixel cap does not rest on PIL's warning about decompression bombs: to make an error of a
    warning is a setting of the whole process, and threads would undo each other's.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # Damaged metadata makes PIL raise almost anything, struct.error among them.
        if isinstance(error, (ImageError, MemoryError)) or not isinstance(error, Exception):
            return
        if isinstance(error, UnidentifiedImageError):
            raise ImageError(f"{self.path}: not an image. Replace it or remove its row.") from error
        if isinstance(error, Image.DecompressionBombError):
            raise ImageError(f"{self.path}: too many pixels to decode safely.") from error
        raise ImageError(
            f"{self.path}: truncated or damaged ({error}). Replace it or remove its row."
        ) from error
