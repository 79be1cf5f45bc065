"""Plain folders: one folder a class.

    root/<class>/*                              classes sorted, first half trains, last half tests
    root/{train,test[,validation]}/<class>/*    split as laid out ("val" is taken as well)

Split by hand, no class may be on two sides: the test is retrieval of classes never seen.
"""

from pathlib import Path

from saga.data.layouts.tree import folders_in, images_in, mismatch
from saga.data.rows import ImageRow, check_classes
from saga.data.splits import FEWEST_CLASSES, SplitName, halves
from saga.errors import UserInputError

LAYOUT = "folders"
SIDES: dict[str, SplitName] = {
    "train": "train",
    "test": "test",
    "validation": "validation",
    "val": "validation",
}


def read(root: Path) -> list[ImageRow]:
    """Rows of the dataset in `root`.

    Raises:
        UserInputError: if the folder is not laid out so, or a class is on two sides.
    """
    found = folders_in(root)
    if not found:
        raise mismatch(root, LAYOUT, "it has no folders; the layout needs one folder a class")
    names = {folder.name for folder in found}
    if names <= SIDES.keys() or {"train", "test"} <= names:
        return _laid_out(root, found)
    classes = dict(enumerate(found, start=1))
    return _rows(root, classes, halves(list(classes), LAYOUT))


def _laid_out(root: Path, sides: list[Path]) -> list[ImageRow]:
    """Rows of a tree that is split already."""
    _check_sides(root, {side.name for side in sides})
    placed: dict[str, Path] = {}
    for side in sides:
        for folder in folders_in(side):
            first = placed.setdefault(folder.name, folder)
            if first is not folder:
                raise UserInputError(
                    f"The class {folder.name} is on two sides: {first} and {folder}. Classes of "
                    "the test must be unseen: put all images of a class on one side."
                )
    classes = {number: placed[name] for number, name in enumerate(sorted(placed), start=1)}
    splits = {number: SIDES[folder.parent.name] for number, folder in classes.items()}
    for split in ("train", "test"):
        count = sum(s == split for s in splits.values())
        if count < FEWEST_CLASSES:
            raise UserInputError(
                f"{root / split} holds {count} class folders; at least {FEWEST_CLASSES} are needed."
            )
    return _rows(root, classes, splits)


def _check_sides(root: Path, names: set[str]) -> None:
    missing, strange = {"train", "test"} - names, names - SIDES.keys()
    if missing:
        raise mismatch(root, LAYOUT, f"it has {', '.join(sorted(names))} but no {missing.pop()}")
    if strange:
        raise mismatch(
            root,
            LAYOUT,
            f"beside train and test it has {', '.join(sorted(strange)[:5])}; allowed there is only "
            "validation (or val)",
        )
    if {"val", "validation"} <= names:
        raise mismatch(root, LAYOUT, "it has both val and validation; keep one")


def _rows(root: Path, classes: dict[int, Path], splits: dict[int, SplitName]) -> list[ImageRow]:
    rows = [
        ImageRow(path, path, number, folder.name, splits[number])
        for number, folder in classes.items()
        for path in images_in(folder, root)
    ]
    check_classes(rows, {number: folder.name for number, folder in classes.items()})
    return rows
