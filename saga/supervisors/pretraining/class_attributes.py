"""The values that CUB-200-2011's annotators gave each class, in the supervisor's few words.

attributes.txt names 312 pairs of a group and a value ("has_bill_shape::cone");
attributes/class_attribute_labels_continuous.txt has a row a class, in order of class id, with the
per cent of its photos that were said to have each. Values are merged into coarser ones (rufous is
brown), per cents added, and the class takes the value that has most: each class then has one value
an attribute, true of most of its photos and wrong for some (sexes, seasons).
"""

from collections.abc import Iterable
from pathlib import Path

from saga.data.layouts.lines import Line, keyed, read_lines
from saga.errors import UserInputError
from saga.supervisors.pretraining.vocabulary import PHOTOGRAPHED_BIRDS, Combination

NAMES = ("attributes.txt", "attributes/attributes.txt")
"""Either is taken."""
PER_CENTS = "attributes/class_attribute_labels_continuous.txt"
COLORS = {
    "grey": "gray",
    "rufous": "brown",
    "buff": "brown",
    "purple": "blue",
    "iridescent": "blue",
    "olive": "yellow",
    "green": "yellow",
    "orange": "red",
    "pink": "red",
}
BILLS = {"hooked_seabird": "hooked"} | dict.fromkeys(
    ("dagger", "needle", "curved_(up_or_down)", "spatulate", "specialized"), "other"
)
SIZES = dict.fromkeys(("very_small_(3_-_5_in)", "small_(5_-_9_in)"), "small") | dict.fromkeys(
    ("medium_(9_-_16_in)", "large_(16_-_32_in)", "very_large_(32_-_72_in)"), "large"
)
MERGED: dict[str, dict[str, str]] = {
    "bill shape": BILLS,
    "crown color": COLORS,
    "wing color": COLORS,
    "wing pattern": {},
    "breast pattern": {"striped": "streaked", "spotted": "streaked"},
    "belly color": COLORS,
    "size": SIZES,
    "primary color": COLORS,
}
"""Coarse value of the dataset's values; one that is not named keeps its name."""


def class_values(root: Path, class_ids: Iterable[int]) -> dict[int, Combination]:
    """Attribute values of some classes; the rows of all others are not looked at.

    Args:
        root: folder of the dataset.
        class_ids: from 1, as in classes.txt.

    Raises:
        UserInputError: naming the file and line of what is missing or wrong.
    """
    names_file = next((root / name for name in NAMES if (root / name).is_file()), None)
    if names_file is None or not (root / PER_CENTS).is_file():
        missing = NAMES[0] if names_file is None else PER_CENTS
        raise UserInputError(
            f"{root} has no {missing}. A supervisor of photos learns the dataset's class "
            f"attributes: it needs {NAMES[0]} and {PER_CENTS} of CUB-200-2011 there."
        )
    columns, width = _columns(names_file)
    lines = read_lines(root / PER_CENTS, "per cents of one class")
    found = {}
    for class_id in class_ids:
        if not 1 <= class_id <= len(lines):
            raise UserInputError(
                f"{root / PER_CENTS} has {len(lines)} lines, so class {class_id} has none. There "
                "must be a line for each class of classes.txt; is it cut off?"
            )
        found[class_id] = _values(lines[class_id - 1], columns, width, names_file)
    return found


def _columns(path: Path) -> tuple[dict[str, dict[int, str]], int]:
    """For each attribute the columns that count for it, each with its coarse value; the width."""
    listed = keyed(read_lines(path, "attribute id", "name"), lambda line: line.integer(), "id")
    columns: dict[str, dict[int, str]] = {name: {} for name in PHOTOGRAPHED_BIRDS.attributes}
    for position, (number, line) in enumerate(listed.items()):
        if number != position + 1:
            raise line.wrong(f"expected the id {position + 1}, as ids count lines, got {number}.")
        group, _, value = line.fields[1].partition("::")
        name = group.removeprefix("has_").replace("_", " ")
        coarse = MERGED.get(name, {}).get(value, value)
        if name in columns and coarse in PHOTOGRAPHED_BIRDS.attributes[name]:
            columns[name][position] = coarse
    for name, values in columns.items():
        if not values:
            raise UserInputError(
                f"{path} has no line has_{name.replace(' ', '_')}::<value>. It must be "
                "CUB-200-2011's list of 312 attributes."
            )
    return columns, len(listed)


def _values(
    line: Line, columns: dict[str, dict[int, str]], width: int, names_file: Path
) -> Combination:
    fields = line.fields[0].split()
    if len(fields) != width:
        raise line.wrong(
            f"expected {width} numbers, one for each line of {names_file.name}, got {len(fields)}."
        )
    numbers = Line(line.file, line.number, tuple(fields))
    combination = []
    for name, values in PHOTOGRAPHED_BIRDS.attributes.items():
        totals = dict.fromkeys(values, 0.0)
        for column, value in columns[name].items():
            totals[value] += _per_cent(numbers, column)
        best = max(values, key=totals.__getitem__)
        if totals[best] <= 0:
            raise line.wrong(
                f"class {line.number} has no {name}: all of its per cents are 0. Leave the class "
                "out of the dataset, or complete the line."
            )
        combination.append(values.index(best))
    return tuple(combination)


def _per_cent(line: Line, column: int) -> float:
    number = line.number_at(column)
    if not 0 <= number <= 100:
        raise line.wrong(f"expected per cents from 0 to 100, got {number:g}.")
    return number
