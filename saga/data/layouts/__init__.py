"""Dataset layouts: each reads the annotation files of one form strictly and lists the images."""

from collections.abc import Callable
from pathlib import Path

from saga.data.configuration import LAYOUTS
from saga.data.layouts import aircraft, cars196, cub200, folders, inat_aves, synthetic
from saga.data.layouts.tree import contents, folders_in
from saga.data.rows import ImageRow, check_unique
from saga.errors import UserInputError

READERS: dict[str, Callable[[Path], list[ImageRow]]] = {
    module.LAYOUT: module.read
    for module in (cub200, cars196, aircraft, inat_aves, folders, synthetic)
}
SIGNS: dict[str, tuple[str, ...]] = {
    cub200.LAYOUT: ("images.txt", "image_class_labels.txt"),
    cars196.LAYOUT: (cars196.META, cars196.SINGLE),
    aircraft.LAYOUT: ("variants.txt", "data/variants.txt"),
    inat_aves.LAYOUT: inat_aves.FOLDERS,
    synthetic.LAYOUT: (synthetic.FACTS,),
}
"""What gives a layout away, any of these; a folder with none of them is one of class folders."""
assert tuple(READERS) == LAYOUTS, "every layout that can be configured has a reader"


def read_layout(layout: str, root: Path) -> list[ImageRow]:
    """All images that a dataset lists; no image file is opened.

    Args:
        layout: one of `saga.data.configuration.LAYOUTS`.
        root: the dataset's folder.

    Raises:
        UserInputError: if the folder is missing, not of the layout, or its lists are wrong, naming
            file and line.
    """
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise UserInputError(
            f"dataset.root: {root} {what} (looked in {Path.cwd()}). Put the dataset there, or say "
            "where it is: --set dataset.root=PATH."
        )
    try:
        rows = READERS[layout](root)
    except OSError as error:
        raise UserInputError(f"{root} cannot be read: {error}.") from error
    check_unique(rows)
    return rows


def recognise(root: Path) -> str:
    """The layout that a folder seems to have; whether it really has is seen when it is read.

    Raises:
        UserInputError: if it could be none or several.
    """
    found = [name for name, signs in SIGNS.items() if any((root / sign).exists() for sign in signs)]
    if not found and folders_in(root):
        return folders.LAYOUT
    if len(found) != 1:
        could = f"several ({', '.join(found)})" if found else "none"
        raise UserInputError(
            f"{root} could be of {could} of the layouts {', '.join(LAYOUTS)}. Found there: "
            f"{contents(root)}. Say which one it is."
        )
    return found[0]
