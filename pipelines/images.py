"""Image files that a user names on the command line."""

import os
from collections.abc import Sequence
from pathlib import Path

from saga.errors import UserInputError

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
NAMED_AT_ONCE = 10


def collect(given: Sequence[Path]) -> list[Path]:
    """The files, and the images below the folders, in order and each once.

    Raises:
        UserInputError: if a path does not exist or nothing is left.
    """
    absent = [path for path in given if not os.path.exists(path)]
    if absent:
        raise UserInputError(f"No such file or folder: {_named(absent)}.")
    found: dict[Path, None] = {}
    for path in given:
        found |= dict.fromkeys(_below(path) if path.is_dir() else [path])
    unspeakable = [path for path in found if not _is_utf8(path)]
    if unspeakable:
        raise UserInputError(
            f"File names must be UTF-8, to be written to tables; rename {_named(unspeakable)}."
        )
    if not found:
        raise UserInputError(
            f"No images in {', '.join(map(str, given))}: looked for {', '.join(ENDINGS)}."
        )
    return list(found)


def check_headers(paths: Sequence[Path]) -> None:
    """Look at every file's header before the long work.

    Raises:
        UserInputError: naming the files that are not acceptable images.
    """
    from saga.data.images import ImageError, read_header

    problems = []
    for path in paths:
        try:
            read_header(path)
        except ImageError as error:
            problems.append(str(error))
    if problems:
        raise UserInputError(_named(problems, "\n"))


def _named(things: Sequence[object], separator: str = ", ") -> str:
    """The first few, and how many more there are."""
    more = len(things) - NAMED_AT_ONCE
    rest = [f"and {more} more"] if more > 0 else []
    return separator.join([*map(str, things[:NAMED_AT_ONCE]), *rest])


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _below(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file()
    )
