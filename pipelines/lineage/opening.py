"""Reads artifacts that may have been altered.

The database names, for each artifact, a class to import and call. Whoever can write there could
name any; so an artifact is read by a materializer of this project, chosen by its type, or not at all.
"""

import re
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

import materializers
from materializers.folder import CONTENT
from pipelines.lineage.trace import Kept
from pipelines.registry import store_of
from saga.errors import UserInputError

if TYPE_CHECKING:
    from materializers.folder import FolderMaterializer


class ForeignError(ValueError):
    """The artifact is to be read by something that is not ours."""


def is_ours(kept: Kept) -> bool:
    """Whether an artifact is of a type of this project."""
    return _path(kept.response.data_type) in own_materializers()


def opened(kept: Kept) -> tuple[Any, "FolderMaterializer"]:
    """An artifact's value, checked by its type, and what read it.

    Raises:
        ForeignError: if the database names a class that is not the one of its type.
        UserInputError: if the type refuses it.
        OSError: if files are missing or cannot be read.
    """
    kind = own_materializers().get(_path(kept.response.data_type))
    named = _path(kept.response.materializer)
    if kind is None or named != f"{kind.__module__}.{kind.__qualname__}":
        raise ForeignError(f"the database names {named} to read it, which is not of its type")
    reader = kind(kept.response.uri, store_of(kept.response))
    try:
        return reader.load(kind.ASSOCIATED_TYPES[0]), reader
    except UserInputError as error:
        # It is read from a copy, whose place says nothing to anyone.
        text = re.sub(rf"\S*/{CONTENT}(?=[/\s:])", f"{kept.key}/{CONTENT}", str(error))
        raise UserInputError(text) from error


@cache
def own_materializers() -> "dict[str, type[FolderMaterializer]]":
    """By import path of the artifact's type."""
    from materializers.folder import FolderMaterializer

    for module in iter_modules(materializers.__path__, f"{materializers.__name__}."):
        import_module(module.name)
    return {
        f"{kind.__module__}.{kind.__qualname__}": materializer
        for materializer in FolderMaterializer.__subclasses__()
        if materializer.__module__.startswith(f"{materializers.__name__}.")
        for kind in materializer.ASSOCIATED_TYPES
    }


def _path(source: Any) -> str:
    """Import path of a class as the database has it."""
    return f"{source.module}.{source.attribute}"
