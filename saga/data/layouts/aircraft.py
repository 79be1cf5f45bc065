"""FGVC-Aircraft: variants.txt, images_variant_{trainval,test}.txt, images/; perhaps below `data/`.

The 100 variants in alphabetical order, first half to train, last half to test; the images of the
official trainval and test lists are pooled (METHOD section 6). Without a trainval list, the lists
train and val stand for it. Boxes (images_box.txt) are optional.
"""

from pathlib import Path

from saga.data.images import Box
from saga.data.layouts.lines import Line, keyed, read_lines
from saga.data.layouts.tree import mismatch, require
from saga.data.rows import ImageRow, check_classes
from saga.data.splits import halves

LAYOUT = "aircraft"
LISTS = (("trainval", "test"), ("train", "val", "test"))


def read(root: Path) -> list[ImageRow]:
    """Rows of the dataset in `root`.

    Raises:
        UserInputError: naming file and line of what is wrong.
    """
    data = root / "data" if (root / "data").is_dir() else root
    require(data, LAYOUT, "variants.txt", "images/")
    variants = keyed(read_lines(data / "variants.txt", "variant"), _first, "variant")
    ids = {name: number for number, name in enumerate(sorted(variants), start=1)}
    splits = halves(list(ids.values()), LAYOUT)
    boxes = _boxes(data / "images_box.txt")
    rows, seen = [], dict[str, Line]()
    for line in _listed(data):
        image_id, name = line.fields
        if name not in ids:
            raise line.wrong(f"there is no variant {name!r} in variants.txt.")
        first = seen.setdefault(image_id, line)
        if first is not line:
            raise line.wrong(
                f"the image {image_id} was given in {first.place} already. Remove one."
            )
        path = (data / "images").relative_to(root).as_posix() + f"/{line.path(0)}.jpg"
        box = _box(boxes, line) if boxes else None
        rows.append(ImageRow(image_id, path, ids[name], name, splits[ids[name]], line.place, box))
    check_classes(rows, {number: name for name, number in ids.items()})
    return rows


def _listed(data: Path) -> list[Line]:
    """Lines of all lists of images."""
    for names in LISTS:
        files = [data / f"images_variant_{name}.txt" for name in names]
        if all(file.is_file() for file in files):
            return [line for file in files for line in read_lines(file, "image id", "variant")]
    wanted = " or ".join(" + ".join(f"images_variant_{n}.txt" for n in names) for names in LISTS)
    raise mismatch(data, LAYOUT, f"it lacks a list of images; the layout needs {wanted}")


def _boxes(path: Path) -> dict[str, Line]:
    if not path.is_file():
        return {}
    return keyed(read_lines(path, "image id", "xmin", "ymin", "xmax", "ymax"), _first, "image id")


def _box(boxes: dict[str, Line], image: Line) -> Box:
    """The image's box; its corners are pixels, counted from 1 and inside the box."""
    line = boxes.get(image.fields[0])
    if line is None:
        raise image.wrong(f"the image {image.fields[0]} has no line in images_box.txt.")
    left, top, right, bottom = (line.number_at(i) for i in range(1, 5))
    if right < left or bottom < top:
        raise line.wrong("xmin and ymin must not be above xmax and ymax.")
    return left - 1, top - 1, right - left + 1, bottom - top + 1


def _first(line: Line) -> str:
    return line.fields[0]
