"""Images of a manifest's rows, each verified from the very bytes that are decoded."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from PIL import Image

from saga.data.configuration import ImageLimits
from saga.data.images import DEFAULT_LIMITS, decode_image, read_file
from saga.data.manifest import DatasetManifest
from saga.errors import UserInputError
from saga.files import sha256_bytes


@dataclass(frozen=True, slots=True)
class ImageReader:
    """Reads rows by position; safe to call from several threads."""

    manifest: DatasetManifest
    """Says where the images are."""
    paths: tuple[str, ...]
    """Of the rows, relative to the manifest's root."""
    sha256: tuple[str, ...]
    """Of the rows, as the manifest recorded them."""
    limits: ImageLimits = DEFAULT_LIMITS
    """What the image loader accepts."""

    @classmethod
    def of(
        cls, manifest: DatasetManifest, frame: pd.DataFrame, limits: ImageLimits = DEFAULT_LIMITS
    ) -> "ImageReader":
        """A reader of some rows of a manifest (path, sha256)."""
        return cls(manifest, tuple(frame["path"]), tuple(frame["sha256"]), limits)

    def read(self, row: int) -> Image.Image:
        """RGB and upright.

        Raises:
            ImageError: if the file cannot be read.
            UserInputError: if it is not there, or not the one that the manifest lists.
        """
        path = self.manifest.image_path(self.paths[row])
        return load_verified(path, self.sha256[row], self.limits)


def load_verified(path: Path, sha256: str, limits: ImageLimits = DEFAULT_LIMITS) -> Image.Image:
    """Decode an image, RGB and upright, if its bytes have the digest; they are read once.

    Args:
        path: of the file.
        sha256: hexadecimal digest that was recorded.
        limits: what the image loader accepts.

    Raises:
        ImageError: if the file cannot be read.
        UserInputError: if the digest is another.
    """
    data = read_file(path, limits)
    if sha256_bytes(data) != sha256:
        raise UserInputError(
            f"{path} has changed since the manifest was made: its sha256 differs. "
            "Load the dataset again, or restore the file."
        )
    return decode_image(data, path, limits)
