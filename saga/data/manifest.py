"""The manifest: one row per image, strict, content-addressed. Whatever is judged is judged on it.

    manifest.parquet   image_id, path, sha256, class_id, class_name, split, width, height, mode,
                       bbox, attributes
    manifest.json      name, layout, root, digest

The digest is that of the sorted rows: it does not depend on where the files lie or in which order
they were listed. The root is a hint where to find the files on this machine, not part of what is
bound.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from saga.data.splits import SPLITS, class_lists_digest
from saga.errors import UserInputError
from saga.files import write_json
from saga.retrieval.storage import altered, read_facts, read_table, rows_digest, write_table

SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string()),
        pa.field("path", pa.string()),
        pa.field("sha256", pa.string()),
        pa.field("class_id", pa.int64()),
        pa.field("class_name", pa.string()),
        pa.field("split", pa.string()),
        pa.field("width", pa.int64()),
        pa.field("height", pa.int64()),
        pa.field("mode", pa.string()),
        pa.field("bbox", pa.list_(pa.float64())),
        pa.field("attributes", pa.string()),
    ]
)
MANIFEST, FACTS = "manifest.parquet", "manifest.json"
REQUIRED = tuple(name for name in SCHEMA.names if name not in ("bbox", "attributes"))
BOX_NUMBERS = 4


@dataclass(frozen=True)
class DatasetManifest:
    """Images, labels and splits of one dataset."""

    frame: pd.DataFrame
    """One row per image, sorted by image_id. image_id and path are unique; path is relative to the
    root, POSIX; width and height in pixels, upright (after EXIF); bbox is [x, y, width, height] in
    the upright image, or None; attributes is a JSON object of texts, or None."""
    name: str
    """In reports."""
    layout: str
    """Which layout it was read from."""
    root: Path
    """Folder that the paths are relative to."""

    def __post_init__(self) -> None:
        check_rows(self.frame)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the sorted rows."""
        return rows_digest(self.frame.sort_values("image_id"))

    @cached_property
    def class_list_digest(self) -> str:
        """Of the zero-shot split: datasets whose training and test classes are equal share it.

        Classes held out of training count as training classes, so a hold-out does not change it.
        """
        return class_lists_digest(self.classes("train", "validation"), self.classes("test"))

    def subset(self, split: str) -> pd.DataFrame:
        """Rows of one split, with an index from 0."""
        return self.frame[self.frame["split"] == split].reset_index(drop=True)

    def training(self) -> pd.DataFrame:
        """Rows of the training classes."""
        return self.subset("train")

    def classes(self, *splits: str) -> list[str]:
        """Class names of these splits, in order of class_id."""
        rows = self.frame[self.frame["split"].isin(splits)]
        rows = rows.drop_duplicates("class_id").sort_values("class_id")
        return rows["class_name"].tolist()

    def counts(self) -> dict[str, Any]:
        """Images in all, and images and classes of each split."""
        counts: dict[str, Any] = {"images": len(self.frame)}
        for split in SPLITS:
            rows = self.subset(split)
            counts[split] = {"images": len(rows), "classes": int(rows["class_id"].nunique())}
        return counts

    def image_path(self, relative: str) -> Path:
        """Where an image is.

        Raises:
            UserInputError: if it is not there or not below the root.
        """
        return inside(self.root, relative)

    def with_root(self, root: Path) -> "DatasetManifest":
        """The same rows with files looked for elsewhere."""
        return DatasetManifest(self.frame, self.name, self.layout, Path(root))

    def save(self, folder: Path) -> None:
        """Write manifest.parquet, then manifest.json, into an existing folder."""
        folder = Path(folder)
        write_table(folder / MANIFEST, self.frame, SCHEMA)
        facts = {"name": self.name, "layout": self.layout, "root": str(self.root)}
        write_json(folder / FACTS, facts | {"digest": self.digest})

    @classmethod
    def load(cls, folder: Path) -> "DatasetManifest":
        """Read a folder written by `save`.

        Raises:
            UserInputError: if it is missing, of another form or was altered.
        """
        folder = Path(folder)
        facts = read_facts(folder / FACTS, {"name", "layout", "root", "digest"})
        frame = read_table(folder / MANIFEST, SCHEMA)
        try:
            manifest = cls(plain_rows(frame), facts["name"], facts["layout"], Path(facts["root"]))
        except (ValueError, TypeError, RecursionError) as error:
            raise altered("manifest", folder) from error
        if manifest.digest != facts["digest"]:
            raise altered("manifest", folder)
        return manifest


def build_manifest(
    rows: list[dict[str, Any]], *, name: str, layout: str, root: Path
) -> DatasetManifest:
    """A manifest from rows in any order; absent optional values become None."""
    frame = pd.DataFrame(rows).reindex(columns=SCHEMA.names)
    frame = frame.sort_values("image_id", ignore_index=True)
    return DatasetManifest(plain_rows(frame), name, layout, Path(root))


def plain_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with plain Python in its object columns: lists of floats, None where missing."""
    frame = frame.copy()
    frame["bbox"] = pd.Series(
        [[float(v) for v in box] if _present(box) else None for box in frame["bbox"]], dtype=object
    )
    texts = [text if isinstance(text, str) else None for text in frame["attributes"]]
    frame["attributes"] = pd.Series(texts, dtype=object)
    return frame


def check_rows(frame: pd.DataFrame) -> None:
    """Refuse a table that is no manifest.

    Raises:
        ValueError: saying which rule is broken and where.
    """
    if list(frame.columns) != SCHEMA.names:
        raise ValueError(f"columns must be {SCHEMA.names}, got {list(frame.columns)}")
    for problem in _problems(frame):
        raise ValueError(problem)


def inside(root: Path, relative: str) -> Path:
    """The file of a relative path.

    Raises:
        UserInputError: if it is not there, or would be outside the root (.., absolute, a symlink
            out).
    """
    base = Path(root).expanduser()
    try:
        resolved = (base / relative).resolve(strict=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserInputError(f"{base}: there is no file {relative!r} in it.") from error
    if not resolved.is_relative_to(base.resolve()):
        raise UserInputError(
            f"{relative!r} leads outside the dataset's folder {base}. Only files below it are read."
        )
    return resolved


def _problems(frame: pd.DataFrame) -> Iterator[str]:
    for name in REQUIRED:
        if frame[name].isna().any():
            yield f"{name} is missing in row {int(frame[name].isna().argmax())}"
    for name in ("image_id", "path"):
        if frame[name].duplicated().any():
            yield f"{name} {frame[name][frame[name].duplicated()].iloc[0]!r} is given twice"
    wrong = ~frame["split"].isin(SPLITS)
    if wrong.any():
        yield f"split must be one of {', '.join(SPLITS)}, got {frame['split'][wrong].iloc[0]!r}"
    yield from _class_problems(frame)
    if not frame["image_id"].is_monotonic_increasing:
        yield "rows must be sorted by image_id"
    odd = ~frame["sha256"].str.fullmatch("[0-9a-f]{64}")
    if odd.any():
        yield f"sha256 must be 64 hexadecimal digits, got {frame['sha256'][odd].iloc[0]!r}"
    if (frame[["width", "height"]] < 1).any(axis=None):
        yield "width and height must be at least 1 pixel"
    for box in frame["bbox"]:
        if _present(box) and (len(box) != BOX_NUMBERS or not all(map(math.isfinite, box))):
            yield f"a bbox is [x, y, width, height] in pixels, got {list(box)}"
    for text in frame["attributes"]:
        if isinstance(text, str) and not _is_attributes(json.loads(text)):
            yield f"attributes must be a JSON object of texts, got {text[:80]}"


def _class_problems(frame: pd.DataFrame) -> Iterator[str]:
    for one, other, problem in (
        ("class_id", "class_name", "class_id {} has more than one name"),
        ("class_name", "class_id", "class_name {!r} has more than one id"),
        ("class_id", "split", "class_id {} is in more than one split"),
    ):
        counts = frame.groupby(one)[other].nunique()
        if (counts > 1).any():
            yield problem.format(counts.index[counts > 1][0])


def _is_attributes(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(v, str) for v in value.values())


def _present(box: Any) -> bool:
    return box is not None and hasattr(box, "__len__")
