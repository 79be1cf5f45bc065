"""A study's file, with what it extends."""

from pathlib import Path
from typing import Any

from saga.errors import UserInputError
from saga.settings.merging import merged
from saga.settings.strict_yaml import read_mapping

EXTENDS = "extends"
MOST_FILES = 4


def read_study(path: Path) -> dict[str, Any]:
    """The file's mapping; `extends: other.yaml` puts another file's below it.

    Sections are merged, everything else is replaced. The other file is named relative to the one
    that names it.

    Raises:
        UserInputError: if one of the files cannot be read, or they extend each other.
    """
    chain = [path]
    raw = read_mapping(path)
    while (given := raw.pop(EXTENDS, None)) is not None:
        if not isinstance(given, str):
            raise UserInputError(f"{chain[-1]}: extends must be the name of a file, got {given!r}.")
        chain.append(chain[-1].parent / given)
        if len(chain) > MOST_FILES:
            names = ", ".join(str(link) for link in chain)
            raise UserInputError(f"{path} extends more than {MOST_FILES - 1} files: {names}.")
        raw = merged(read_mapping(chain[-1]), raw)
    return raw
