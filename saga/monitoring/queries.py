"""The live images of a folder, with labels where there are any. The folder is not ours: it is checked.

Labels come from a CSV file with the columns image (path below the folder) and class, or else from
folders that are named as classes of the gallery: queries/<class>/photo.jpg.
"""

import csv
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from saga.data.configuration import ImageLimits
from saga.data.images import ImageError, read_header
from saga.data.manifest import inside
from saga.errors import UserInputError
from saga.monitoring.measured import ImageFile

COLUMNS = ("image", "class")
NAMED_AT_ONCE = 10


def query_files(
    folder: Path,
    paths: Sequence[Path],
    limits: ImageLimits,
    classes: Collection[str],
    labels: Mapping[str, str] | None = None,
) -> list[ImageFile]:
    """The files to measure, named relative to the folder; every header was looked at.

    Args:
        folder: of the queries.
        paths: image files below it.
        limits: what the image loader accepts.
        classes: of the gallery.
        labels: class by relative path; None takes folders named as classes.

    Raises:
        UserInputError: naming files that are missing, unreadable or outside the folder, and labels
            without a file.
    """
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    problems = [
        f"{name}: labelled, but there is no such image"
        for name in labels or ()
        if name not in names
    ]
    files = []
    for name, path in names.items():
        try:
            read_header(inside(folder, name), limits)
        except ImageError as error:
            problems.append(str(error))
        except UserInputError as error:
            problems.append(f"{path}: {error}")
        label = labels.get(name) if labels is not None else _folder_class(name, classes)
        files.append(ImageFile(path, name, label))
    if problems:
        more = len(problems) - NAMED_AT_ONCE
        rest = [f"and {more} more"] if more > 0 else []
        raise UserInputError("\n".join(problems[:NAMED_AT_ONCE] + rest))
    return files


def read_labels(path: Path) -> dict[str, str]:
    """Class by image of a CSV file.

    Raises:
        UserInputError: if it cannot be read, lacks a column, or labels an image twice.
    """
    labels: dict[str, str] = {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if not set(COLUMNS) <= set(reader.fieldnames or ()):
                raise UserInputError(
                    f"{path}: labels are a CSV file with the columns {' and '.join(COLUMNS)}; found "
                    f"{', '.join(map(repr, reader.fieldnames or ())) or 'none'}."
                )
            for row in reader:
                image, name = (row[column] for column in COLUMNS)
                if not image or not name:
                    raise UserInputError(f"{path}, line {reader.line_num}: a value is missing.")
                if image in labels:
                    raise UserInputError(
                        f"{path}, line {reader.line_num}: {image!r} is there twice."
                    )
                labels[image] = name
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserInputError(f"{path} cannot be read as CSV: {error}.") from error
    return labels


def _folder_class(name: str, classes: Collection[str]) -> str | None:
    first, separator, _ = name.partition("/")
    return first if separator and first in classes else None
