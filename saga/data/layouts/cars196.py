"""Cars-196 (Stanford Cars), in either of the forms it is distributed in.

    devkit/cars_meta.mat, devkit/cars_train_annos.mat, cars_train/,       as torchvision lays it out
    cars_test_annos_withlabels.mat (here or in devkit/), cars_test/
    cars_annos.mat, car_ims/                                              the older, single list

First half of the classes to train, last half to test; all images, whatever the official train/test
flag says (METHOD section 6).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saga.data.images import Box
from saga.data.layouts.lines import safe_path
from saga.data.layouts.matlab import read_mats
from saga.data.layouts.tree import mismatch, require
from saga.data.rows import ImageRow, check_classes
from saga.data.splits import halves
from saga.errors import UserInputError

LAYOUT = "cars196"
SINGLE = "cars_annos.mat"
META, TRAIN = "devkit/cars_meta.mat", "devkit/cars_train_annos.mat"
TEST = "cars_test_annos_withlabels.mat"
CORNERS = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")


@dataclass(frozen=True, slots=True)
class Record:
    """One annotation: where it stands and what it says."""

    source: str
    folder: str
    values: list[Any]
    """File name, class, corners of the box."""

    def wrong(self, problem: str) -> UserInputError:
        """The error of this record."""
        return UserInputError(f"{self.source}: {problem}.")


def read(root: Path) -> list[ImageRow]:
    """Rows of the dataset in `root`.

    Raises:
        UserInputError: naming file and record of what is wrong.
    """
    single = (root / SINGLE).is_file()
    names, records = _single(root) if single else _devkit(root)
    if len(set(names)) < len(names) or not all(isinstance(name, str) for name in names):
        raise UserInputError(f"{root}: class_names must be texts, each once.")
    splits = halves(range(1, len(names) + 1), LAYOUT)
    rows = []
    for record in records:
        class_id = _class_id(record, len(names))
        path = _path(record)
        rows.append(
            ImageRow(
                path.rsplit(".", 1)[0],
                path,
                class_id,
                names[class_id - 1],
                splits[class_id],
                record.source,
                _box(record),
            )
        )
    check_classes(rows, dict(enumerate(names, start=1)))
    return rows


def _single(root: Path) -> tuple[list[str], list[Record]]:
    require(root, LAYOUT, SINGLE, "car_ims/")
    fields = ("relative_im_path", "class", *CORNERS)
    [found] = read_mats([(root / SINGLE, {"class_names": None, "annotations": fields})])
    return found["class_names"], _records(root / SINGLE, "", found["annotations"])


def _devkit(root: Path) -> tuple[list[str], list[Record]]:
    if not (root / META).is_file():
        raise mismatch(root, LAYOUT, f"it has neither {META} nor {SINGLE}")
    require(root, LAYOUT, META, TRAIN, "cars_train/", "cars_test/")
    tests = [path for path in (root / TEST, root / "devkit" / TEST) if path.is_file()]
    if not tests:
        raise mismatch(
            root,
            LAYOUT,
            f"it has no {TEST}; the devkit's cars_test_annos.mat has no classes, and the zero-shot "
            "split needs the classes of all images",
        )
    fields = {"annotations": ("fname", "class", *CORNERS)}
    meta, train, test = read_mats(
        [(root / META, {"class_names": None}), (root / TRAIN, fields), (tests[0], fields)]
    )
    return meta["class_names"], [
        *_records(root / TRAIN, "cars_train/", train["annotations"]),
        *_records(tests[0], "cars_test/", test["annotations"]),
    ]


def _records(path: Path, folder: str, annotations: list[list[Any]]) -> list[Record]:
    return [
        Record(f"{path}, annotation {number}", folder, values)
        for number, values in enumerate(annotations, start=1)
    ]


def _class_id(record: Record, classes: int) -> int:
    class_id = record.values[1]
    if not isinstance(class_id, (int, float)) or class_id not in range(1, classes + 1):
        raise record.wrong(f"class must be a whole number from 1 to {classes}, got {class_id!r}")
    return int(class_id)


def _path(record: Record) -> str:
    try:
        return safe_path(record.folder + str(record.values[0]))
    except ValueError as error:
        raise record.wrong(str(error)) from error


def _box(record: Record) -> Box:
    """From corners to width and height."""
    corners = record.values[2:]
    if not all(isinstance(value, (int, float)) for value in corners):
        raise record.wrong(f"the corners of a box must be numbers, got {corners}")
    left, top, right, bottom = map(float, corners)
    if right <= left or bottom <= top:
        raise record.wrong(f"a box must be wider and higher than 0, got corners {corners}")
    return left, top, right - left, bottom - top
