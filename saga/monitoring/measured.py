"""Images as the monitoring sees them: an embedding and plain statistics of each.

A folder holds images.parquet, vectors.safetensors and measured.json, which is written last.

Shapes: n images, E embedding width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from saga.data.configuration import ImageLimits
from saga.data.images import load_image
from saga.data.manifest import DatasetManifest
from saga.errors import UserInputError
from saga.files import digest_of, sha256_bytes, sha256_file, write_bytes, write_json
from saga.monitoring.image_statistics import STATISTICS, image_statistics
from saga.retrieval.storage import altered, read_facts, read_table, rows_digest, write_table

if TYPE_CHECKING:
    from saga.encoders.retriever import Retriever

IMAGES, VECTORS, FACTS = "images.parquet", "vectors.safetensors", "measured.json"
SCHEMA = pa.schema(
    [
        pa.field("image", pa.string()),
        pa.field("sha256", pa.string()),
        pa.field("class_name", pa.string()),
        *(pa.field(name, pa.float64()) for name in STATISTICS),
    ]
)
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One file to measure."""

    path: Path
    name: str
    """As reports call it."""
    class_name: str | None = None
    sha256: str | None = None
    """Recorded earlier; the file must still have it. None takes the file as it is."""


@dataclass(frozen=True)
class MeasuredImages:
    """Some images in one encoder's space."""

    name: str
    """What they are: "queries", "gallery", "training", …"""
    frame: pd.DataFrame
    """One row per image: image, sha256, class_name (or None) and each of `STATISTICS`."""
    vectors: np.ndarray
    """(n, E) float32, unit length, in the order of the rows."""
    encoder_digest: str

    def __post_init__(self) -> None:
        if list(self.frame.columns) != SCHEMA.names:
            raise ValueError(f"columns must be {SCHEMA.names}, got {list(self.frame.columns)}")
        if self.vectors.ndim != 2 or len(self.vectors) != len(self.frame):
            raise ValueError(f"{len(self.frame)} rows for vectors of shape {self.vectors.shape}")

    def __len__(self) -> int:
        return len(self.frame)

    @cached_property
    def digest(self) -> str:
        """Of everything above."""
        vectors = np.ascontiguousarray(self.vectors, np.float32)
        return digest_of(
            {
                "name": self.name,
                "encoder": self.encoder_digest,
                "rows": rows_digest(self.frame),
                "vectors": [list(vectors.shape), sha256_bytes(vectors.tobytes())],
            }
        )

    @property
    def data_digest(self) -> str:
        """Of names, contents and classes of the files, whatever encoder looked at them."""
        return rows_digest(self.frame[["image", "sha256", "class_name"]].sort_values("image"))

    def save(self, folder: Path) -> None:
        """Write the three files into an existing folder."""
        from safetensors.numpy import save

        folder = Path(folder)
        write_table(folder / IMAGES, self.frame, SCHEMA)
        vectors = np.ascontiguousarray(self.vectors, np.float32)
        write_bytes(folder / VECTORS, save({"vectors": vectors}))
        facts = {"name": self.name, "encoder_digest": self.encoder_digest}
        write_json(folder / FACTS, facts | {"digest": self.digest})

    @classmethod
    def load(cls, folder: Path) -> "MeasuredImages":
        """Read a folder written by `save`.

        Raises:
            UserInputError: if files are missing, of another form, or were altered.
        """
        from safetensors.numpy import load_file

        folder = Path(folder)
        facts = read_facts(folder / FACTS, {"name", "encoder_digest", "digest"})
        digest = facts.pop("digest")
        frame = read_table(folder / IMAGES, SCHEMA)
        frame["class_name"] = _texts(frame["class_name"])
        try:
            measured = cls(frame=frame, vectors=load_file(folder / VECTORS)["vectors"], **facts)
            intact = measured.digest == digest
        except Exception as error:  # safetensors has errors of its own
            raise altered("measured images", folder) from error
        if not intact:
            raise altered("measured images", folder)
        return measured


def measure_images(
    name: str,
    encoder: "Retriever",
    files: Sequence[ImageFile],
    limits: ImageLimits,
    progress: Progress | None = None,
    batch_size: int = 64,
) -> MeasuredImages:
    """Decode each file once; embed it and measure its statistics.

    Args:
        name: what the images are.
        encoder: whose space it is.
        files: in the order of the rows.
        limits: what the image loader accepts.
        progress: called with (images done, images).
        batch_size: images at once.

    Raises:
        ImageError: if a file cannot be read, naming it.
        UserInputError: if there is none, or one is not the file that was recorded.
        ValueError: if the encoder's output is not finite.
    """
    if not files:
        raise UserInputError(f"There are no {name} to measure.")
    rows, parts = [], []
    for start in range(0, len(files), batch_size):
        chunk = files[start : start + batch_size]
        images = [load_image(file.path, limits) for file in chunk]
        for file, image in zip(chunk, images):
            rows.append(_row(file) | image_statistics(image))
        parts.append(encoder.encode(images, batch_size))
        if not np.isfinite(parts[-1]).all():
            raise ValueError(f"the encoder gave NaN or infinite values near {chunk[0].path}")
        if progress is not None:
            progress(start + len(chunk), len(files))
    frame = pd.DataFrame(rows, columns=SCHEMA.names)
    frame["class_name"] = _texts(frame["class_name"])
    return MeasuredImages(name, frame, np.concatenate(parts), encoder.digest)


def files_of(manifest: DatasetManifest, split: str) -> list[ImageFile]:
    """The images of a manifest's split.

    Raises:
        UserInputError: if the split is empty, or a file is not there.
    """
    frame = manifest.subset(split)
    if frame.empty:
        raise UserInputError(f"The dataset {manifest.name} has no images in the split {split}.")
    columns = frame[["path", "class_name", "sha256"]].itertuples(index=False, name=None)
    return [ImageFile(manifest.image_path(path), path, c, sha) for path, c, sha in columns]


def _row(file: ImageFile) -> dict[str, str | None]:
    sha256 = sha256_file(file.path)
    if file.sha256 not in (None, sha256):
        raise UserInputError(
            f"{file.path} has changed since the manifest was made: its sha256 differs. "
            "Restore the file, or train on the data as it is now."
        )
    return {"image": file.name, "sha256": sha256, "class_name": file.class_name}


def _texts(column: pd.Series) -> pd.Series:
    """Text or None, whatever pandas made of the missing ones."""
    return pd.Series([v if isinstance(v, str) else None for v in column], dtype=object)
