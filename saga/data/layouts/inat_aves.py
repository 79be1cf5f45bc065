"""iNaturalist-2021 train_mini, birds only: train_mini/<NNNNN_Animalia_Chordata_Aves_…>/*.jpg.

Species folders in sorted order, first half to train, last half to test (METHOD section 6). Folders
of other taxa are left alone.
"""

import re
from pathlib import Path

from saga.data.layouts.tree import folders_in, images_in, mismatch
from saga.data.rows import ImageRow, check_classes
from saga.data.splits import halves

LAYOUT = "inat_aves"
FOLDERS = ("train_mini", "2021_train_mini")
"""As the archive and as torchvision name it."""
AVES = re.compile(r"[0-9]{5}_Animalia_Chordata_Aves_.+")


def read(root: Path) -> list[ImageRow]:
    """Rows of the dataset in `root`.

    Raises:
        UserInputError: if the folder is not laid out so.
    """
    top = next((root / name for name in FOLDERS if (root / name).is_dir()), None)
    if top is None:
        raise mismatch(root, LAYOUT, f"it has no folder {FOLDERS[0]}")
    species = [p for p in folders_in(top) if AVES.fullmatch(p.name)]
    if not species:
        raise mismatch(top, LAYOUT, "it has no folder named like 00001_Animalia_Chordata_Aves_…")
    names = {number: folder.name for number, folder in enumerate(species, start=1)}
    splits = halves(list(names), LAYOUT)
    rows = [
        ImageRow(path.removeprefix(f"{top.name}/"), path, number, folder.name, splits[number])
        for number, folder in enumerate(species, start=1)
        for path in images_in(folder, root)
    ]
    check_classes(rows, names)
    return rows
