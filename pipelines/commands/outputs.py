"""Folders that commands write: never over what is there."""

from pathlib import Path

from saga.errors import UserInputError


def check_new(folder: Path, name: str) -> None:
    """Refuse a folder that holds anything.

    Args:
        folder: to be written.
        name: of the argument, for the message.

    Raises:
        UserInputError: if it is a file or not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserInputError(
            f"{name} {folder} exists already and is not empty. Give a folder that is new or empty; "
            "nothing was written."
        )
