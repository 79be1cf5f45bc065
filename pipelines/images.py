"""Image files that a user names on the command line."""

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
    absent = [path for path in given if not path.exists()]
    if absent:
        raise UserInputError(
            f"No such file or folder: {', '.join(map(str, absent[:NAMED_AT_ONCE]))}."
        )
    found: dict[Path, None] = {}
    for path in given:
        found |= dict.fromkeys(_below(path) if path.is_dir() else [path])
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
        more = len(problems) - NAMED_AT_ONCE
        rest = f"\nand {more} more" if more > 0 else ""
        raise UserInputError("\n".join(problems[:NAMED_AT_ONCE]) + rest)


def _below(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file()
    )
