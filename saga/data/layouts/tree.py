"""Looking into a dataset's folder: what must be there, class folders, image files."""

from pathlib import Path

from saga.data.configuration import LAYOUTS
from saga.data.layouts.lines import safe_path
from saga.errors import UserInputError

NAMED = 8


def require(root: Path, layout: str, *names: str) -> None:
    """Refuse a folder that lacks what the layout consists of; a name ending in "/" is a folder.

    Raises:
        UserInputError: naming what is missing and what is there.
    """
    missing = [name for name in names if not _there(root, name)]
    if missing:
        raise mismatch(
            root, layout, f"it has no {', no '.join(missing)}; the layout needs {', '.join(names)}"
        )


def mismatch(root: Path, layout: str, why: str) -> UserInputError:
    """The error of a folder that is not of the layout."""
    return UserInputError(
        f"{root} is not of the layout {layout}: {why}. Found there: {contents(root)}. Give the "
        f"folder that holds these (dataset.root), or another dataset.layout ({', '.join(LAYOUTS)})."
    )


def contents(folder: Path) -> str:
    """A few names of what a folder holds."""
    names = sorted(p.name + "/" * p.is_dir() for p in folder.iterdir())
    more = [f"and {len(names) - NAMED} more"] if len(names) > NAMED else []
    return ", ".join(names[:NAMED] + more) or "nothing"


def folders_in(folder: Path) -> list[Path]:
    """Folders directly in a folder, hidden ones left out, sorted by name."""
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def images_in(folder: Path, root: Path) -> list[str]:
    """Files directly in a class folder, hidden ones left out, as sorted paths relative to the root.

    Whatever the files claim to be: one that is no image is refused when its header is read.

    Raises:
        UserInputError: if there is a folder among them, or a name is no clean text.
    """
    paths = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            raise UserInputError(
                f"{path} is a folder inside the class folder {folder.name}. Images must lie "
                "directly in their class's folder."
            )
        try:
            paths.append(safe_path(path.relative_to(root).as_posix()))
        except ValueError as error:
            raise UserInputError(f"{folder}: {error}.") from error
    return paths


def _there(root: Path, name: str) -> bool:
    path = root / name
    return path.is_dir() if name.endswith("/") else path.is_file()
