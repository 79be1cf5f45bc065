"""CUB-200-2011: images.txt, image_class_labels.txt, classes.txt, bounding_boxes.txt, images/.

The first half of the classes by id trains, the other half is for test; the official flag
(train_test_split.txt) splits images, not classes, and is ignored. A thinned-out set is read as
well, as long as its files agree. Boxes are optional.
"""

from pathlib import Path

from saga.data.images import Box
from saga.data.layouts.lines import Line, check_same_keys, keyed, read_lines
from saga.data.layouts.tree import require
from saga.data.rows import ImageRow, check_classes
from saga.data.splits import halves

LAYOUT = "cub200"


def read(root: Path) -> list[ImageRow]:
    """Rows of the dataset in `root`.

    Raises:
        UserInputError: naming file and line of what is wrong.
    """
    require(root, LAYOUT, "images.txt", "image_class_labels.txt", "classes.txt", "images/")
    classes = _by_id(root / "classes.txt", "class id", "class name")
    keyed(list(classes.values()), lambda line: line.fields[1], "class name")
    images = _by_id(root / "images.txt", "image id", "path")
    labels = _by_id(root / "image_class_labels.txt", "image id", "class id")
    check_same_keys(images, labels, "image id")
    boxes = _boxes(root / "bounding_boxes.txt")
    if boxes:
        check_same_keys(images, boxes, "image id")
    names = {class_id: classes[class_id].fields[1] for class_id in sorted(classes)}
    splits = halves(list(names), LAYOUT)
    rows = []
    for image_id, line in images.items():
        class_id = labels[image_id].integer(1)
        if class_id not in names:
            raise labels[image_id].wrong(f"there is no class {class_id} in classes.txt.")
        path = f"images/{line.path(1)}"
        box = _box(boxes[image_id]) if boxes else None
        rows.append(
            ImageRow(
                str(image_id), path, class_id, names[class_id], splits[class_id], line.place, box
            )
        )
    check_classes(rows, names)
    return rows


def _by_id(path: Path, *names: str) -> dict[int, Line]:
    return keyed(read_lines(path, *names), Line.integer, names[0])


def _boxes(path: Path) -> dict[int, Line]:
    return _by_id(path, "image id", "x", "y", "width", "height") if path.is_file() else {}


def _box(line: Line) -> Box:
    x, y, width, height = (line.number_at(i) for i in range(1, 5))
    if width <= 0 or height <= 0:
        raise line.wrong(f"a box must be wider and higher than 0, got {width:g} × {height:g}.")
    return x, y, width, height
