"""Decodes every listed file once and notes what the dataset validation judges.

Is it there, is it still the file that the manifest lists, can it be decoded, what size and mode has
it, is it of one colour, and what does it look like: a 32×32 thumbnail, and the perceptual hash
(imagehash's phash, 64 bit) of the thumbnail and of its mirror image.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pandas as pd
from PIL import Image, ImageOps

from saga.data.configuration import ImageLimits
from saga.data.images import ImageError, load_image, read_header
from saga.data.manifest import DatasetManifest
from saga.errors import UserInputError
from saga.files import sha256_file

Progress = Callable[[int, int], None]
THUMBNAIL_SIDE = 32
"""In pixels; what phash itself scales an image to, so hashing the thumbnail hashes the image."""
CHUNK = 64


class Decoded(NamedTuple):
    """What one file is; None where that could not be found out."""

    exists: bool
    """It is there, below the root."""
    unchanged: bool | None
    """Its SHA-256 is the manifest's."""
    decodes: bool | None
    problem: str | None
    """Why it is not there or does not decode."""
    decoded_width: float | None = None
    """In pixels, upright; a float because missing ones are NaN."""
    decoded_height: float | None = None
    decoded_mode: str | None = None
    """As stored, before it became RGB."""
    one_color: bool | None = None
    """All its pixels are equal."""
    thumbnail: bytes | None = None
    """32×32 pixels of RGB, row by row; the aspect ratio is not kept."""
    phash: str | None = None
    """16 hexadecimal digits."""
    mirrored_phash: str | None = None
    """Of the image mirrored left to right."""


def inspect_images(
    manifest: DatasetManifest,
    limits: ImageLimits,
    progress: Progress | None = None,
    workers: int = 2,
) -> pd.DataFrame:
    """One row per row of the manifest, in its order, with the columns of `Decoded`.

    Args:
        manifest: says where the images are and what their digests were.
        limits: what the image loader accepts.
        progress: called with (images done, images).
        workers: threads; decoding releases the interpreter's lock.
    """
    files = list(zip(manifest.frame["path"], manifest.frame["sha256"]))
    found: list[Decoded] = []
    for decoded in _outcomes(manifest, files, limits, workers):
        found.append(decoded)
        if progress is not None and (len(found) % CHUNK == 0 or len(found) == len(files)):
            progress(len(found), len(files))
    frame = pd.DataFrame(found, columns=list(Decoded._fields), dtype=object)
    return frame.astype({"decoded_width": float, "decoded_height": float})


def _outcomes(
    manifest: DatasetManifest, files: list[tuple[str, str]], limits: ImageLimits, workers: int
) -> Iterator[Decoded]:
    """In order; at most a chunk is ahead of the reader."""
    import imagehash  # noqa: F401 - imported once, before threads need it

    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(files), CHUNK):
            chunk = files[start : start + CHUNK]
            yield from pool.map(lambda file: _decode(manifest, file[0], file[1], limits), chunk)


def _decode(manifest: DatasetManifest, relative: str, sha256: str, limits: ImageLimits) -> Decoded:
    try:
        path = manifest.image_path(relative)
        unchanged = sha256_file(path) == sha256
    except (UserInputError, OSError, ValueError, TypeError) as error:
        return Decoded(False, None, None, str(error).replace(str(manifest.root), "<root>"))
    try:
        header, image = read_header(path, limits), load_image(path, limits)
    except ImageError as error:
        # Relative, so that a report says the same wherever the files lie.
        return Decoded(True, unchanged, False, str(error).replace(str(path), relative))
    return Decoded(True, unchanged, True, None, *image.size, header.mode, **_looks(image))


def _looks(image: Image.Image) -> dict[str, Any]:
    """What an RGB image shows, made small."""
    import imagehash

    side = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    thumbnail = image.resize(side, Image.Resampling.LANCZOS)
    return {
        "one_color": all(band.getextrema()[0] == band.getextrema()[1] for band in image.split()),
        "thumbnail": thumbnail.tobytes(),
        "phash": str(imagehash.phash(thumbnail)),
        "mirrored_phash": str(imagehash.phash(ImageOps.mirror(thumbnail))),
    }
