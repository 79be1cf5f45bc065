"""Looks at every listed file once: is it there, what does its header say, what is its digest.

Headers tell most of what can be wrong. A file that is cut off is only seen when it is decoded,
which is the dataset validation's work.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from saga.data.configuration import ImageLimits
from saga.data.images import Header, read_header, transform_box
from saga.data.manifest import inside
from saga.data.rows import ImageRow
from saga.errors import UserInputError
from saga.files import sha256_file

Progress = Callable[[int, int], None]
THREADS = 8
NAMED = 10
CHUNK = 256


def inspect(
    rows: list[ImageRow], root: Path, limits: ImageLimits, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Rows of a manifest.

    Args:
        rows: as the layout gave them.
        root: that their paths are relative to.
        limits: what is accepted.
        progress: called with (images done, images).

    Raises:
        UserInputError: one message that names up to ten files that are missing or no acceptable
            image.
    """
    inspected: list[dict[str, Any]] = []
    problems: list[str] = []
    for outcome in _outcomes(rows, root, limits):
        if isinstance(outcome, str):
            problems.append(outcome)
        else:
            inspected.append(outcome)
        done = len(inspected) + len(problems)
        if progress is not None and (done % CHUNK == 0 or done == len(rows)):
            progress(done, len(rows))
        if len(problems) == NAMED:
            break
    if problems:
        more = len(rows) - len(inspected) - len(problems)
        rest = [f"The other {more} files were not looked at."] if more > 0 else []
        raise UserInputError("\n".join(problems + rest))
    return inspected


def _outcomes(
    rows: list[ImageRow], root: Path, limits: ImageLimits
) -> Iterator[dict[str, Any] | str]:
    """One manifest row or problem per image, in order; at most a chunk is ahead of the reader."""
    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(rows), CHUNK):
            chunk = rows[start : start + CHUNK]
            yield from pool.map(lambda row: _outcome(row, root, limits), chunk)


def _outcome(row: ImageRow, root: Path, limits: ImageLimits) -> dict[str, Any] | str:
    try:
        path = inside(root, row.path)
        header = read_header(path, limits)
        sha256 = sha256_file(path)
    except (UserInputError, OSError) as error:
        return f"{row.source}: {error}" if row.source else str(error)
    return {
        "image_id": row.image_id,
        "path": row.path,
        "sha256": sha256,
        "class_id": row.class_id,
        "class_name": row.class_name,
        "split": row.split,
        "width": header.width,
        "height": header.height,
        "mode": header.mode,
        "bbox": _upright_box(row, header),
        "attributes": row.attributes_json,
    }


def _upright_box(row: ImageRow, header: Header) -> list[float] | None:
    if row.bbox is None:
        return None
    stored = (header.width, header.height)
    if header.orientation >= 5:
        stored = (header.height, header.width)
    return list(transform_box(row.bbox, *stored, header.orientation))
