"""Where commands write: folders never over what is there."""

import os
from pathlib import Path

from saga.errors import UserInputError


def check_new(folder: Path, name: str) -> None:
    """Refuse a folder that holds anything.

    Args:
        folder: to be written.
        name: of the argument, for the message.

    Raises:
        UserInputError: if it is a file or not empty, or no folder can be made there.
    """
    if folder.resolve() == Path.cwd().resolve():
        raise UserInputError(f"{name} {folder} is the folder you are in. Give one below it.")
    check_parent(folder, name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserInputError(
            f"{name} {folder} exists already and is not empty. Give a folder that is new or empty; "
            "nothing was written."
        )


def check_parent(path: Path, name: str) -> None:
    """Refuse a place below something that is no folder, before the long work.

    Raises:
        UserInputError: naming it.
    """
    above = next((p for p in path.absolute().parents if os.path.lexists(p)), path)
    if not above.is_dir():
        raise UserInputError(
            f"{name} {path} cannot be made: {above} is not a folder. Give another place."
        )
