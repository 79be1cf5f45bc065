"""The expectations themselves. Imported only to validate: Great Expectations takes seconds.

Each says which images it must have looked at, because an expectation on an empty column, or on one
that holds nothing but gaps, succeeds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from great_expectations import expectations as gxe
from great_expectations.expectations.metadata_types import FailureSeverity

from saga.data.manifest import REQUIRED
from saga.data.splits import CANONICAL_CLASSES, SPLITS
from saga.data.validation import Severity
from steps.expectations.custom import ExpectNoNearDuplicates, ExpectTableToFollowRule
from steps.expectations.rules import half_of
from steps.expectations.thresholds import Thresholds

IMAGES = {"cub200": 11_788, "cars196": 16_185, "aircraft": 10_000, "inat_aves": 74_300}
"""Images of the whole sets (METHOD section 6)."""
MODES = (
    *("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB"),
    *("HSV", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"),
)
"""What the image loader turns into 8-bit RGB."""
Looks = Literal["table", "all", "existing", "decoded"]
RESTORE = "Restore these files, or take their rows out of the dataset's lists."
AGAIN = "The manifest is damaged: load the dataset again, and check its lists."


@dataclass(frozen=True)
class Check:
    """An expectation, and what is said about it."""

    id: str
    title: str
    severity: Severity
    expectation: Any
    """An expectation of Great Expectations."""
    advice: str
    looks_at: Looks = "all"
    """Which images it must have looked at; "table" for one figure of the table."""


def checks(layout: str, limits: Thresholds) -> list[Check]:
    """All expectations on a dataset of this layout."""
    return [
        *_rows(),
        *_files(limits),
        *_sizes(limits),
        *_classes(limits),
        *_duplicates(limits),
        *(_layout(layout) if layout in CANONICAL_CLASSES else ()),
    ]


def _check(
    id: str,
    title: str,
    severity: Severity,
    expectation: Any,
    advice: str,
    looks_at: Looks = "all",
) -> Check:
    """A check whose expectation bears its id and severity."""
    expectation.meta = {"id": id}
    expectation.severity = FailureSeverity(severity)
    return Check(id, title, severity, expectation, advice, looks_at)


def _rule(name: str, limit: float = 0.0) -> Any:
    return ExpectTableToFollowRule(rule=name, limit=limit)


def _rows() -> Iterator[Check]:
    yield _check(
        "has_images",
        "The dataset has images",
        "critical",
        gxe.ExpectTableRowCountToBeBetween(min_value=1),
        "Look at dataset.root and at the dataset's lists.",
        "table",
    )
    for column in REQUIRED:
        yield _check(
            f"{column}_present",
            f"Every image has a value for {column}",
            "critical",
            gxe.ExpectColumnValuesToNotBeNull(column=column),
            AGAIN,
        )
    for column in ("image_id", "path"):
        yield _check(
            f"{column}_unique",
            f"No two images share their {column}",
            "critical",
            gxe.ExpectColumnValuesToBeUnique(column=column),
            "List each image once, under one class.",
        )
    yield _check(
        "split_known",
        f"Every split is one of {', '.join(SPLITS)}",
        "critical",
        gxe.ExpectColumnValuesToBeInSet(column="split", value_set=list(SPLITS)),
        AGAIN,
    )
    yield _check(
        "sha256_form",
        "Every sha256 is 64 hexadecimal digits",
        "critical",
        # \Z, not $: a newline at the end would pass.
        gxe.ExpectColumnValuesToMatchRegex(column="sha256", regex=r"\A[0-9a-f]{64}\Z"),
        AGAIN,
    )
    yield _check(
        "mode_known",
        "Every image has a mode that can be turned into RGB",
        "critical",
        gxe.ExpectColumnValuesToBeInSet(column="mode", value_set=list(MODES)),
        "Save these images as RGB.",
    )


def _files(limits: Thresholds) -> Iterator[Check]:
    yield _check(
        "files_exist",
        "Every file is there, below the dataset's folder",
        "critical",
        gxe.ExpectColumnValuesToBeInSet(column="exists", value_set=[True]),
        RESTORE,
    )
    yield _check(
        "files_unchanged",
        "Every file is still the one that was listed",
        "critical",
        gxe.ExpectColumnValuesToBeInSet(column="unchanged", value_set=[True]),
        "Load the dataset again if the change was meant; otherwise restore these files.",
        "existing",
    )
    yield _check(
        "files_decode",
        "Every file can be decoded",
        "critical",
        _rule("decodes"),
        RESTORE,
        "existing",
    )
    yield _check(
        "size_as_recorded",
        "Width, height and mode are as listed",
        "critical",
        _rule("recorded_size"),
        "Load the dataset again.",
        "decoded",
    )
    yield _check(
        "boxes_inside",
        "Bounding boxes lie inside their images",
        "warning",
        _rule("boxes_inside", limits.box_slack),
        "Check whether boxes and images were scaled alike. Training does not use boxes.",
    )


def _sizes(limits: Thresholds) -> Iterator[Check]:
    least, small, longest = limits.least_side, limits.small_side, limits.longest_aspect
    mostly = 1 - limits.one_color_share
    yield _check(
        "side_usable",
        f"Every image is at least {least} pixels wide and high",
        "critical",
        gxe.ExpectColumnValuesToBeBetween(column="side", min_value=least),
        "Take these images out, or get larger ones.",
        "decoded",
    )
    yield _check(
        "side_good",
        f"Every image is at least {small} pixels wide and high",
        "warning",
        gxe.ExpectColumnValuesToBeBetween(column="side", min_value=small),
        "So little is to be seen on these images that they may do harm.",
        "decoded",
    )
    yield _check(
        "aspect",
        f"No image is more than {longest:g} times as long as wide",
        "warning",
        gxe.ExpectColumnValuesToBeBetween(
            column="aspect", min_value=1 / longest, max_value=longest
        ),
        "Images are resized to squares: these are distorted. Crop them.",
        "decoded",
    )
    one_color: tuple[tuple[str, str, Severity, float], ...] = (
        ("not_one_color", "No image is of a single colour", "warning", 1.0),
        (
            "rarely_one_color",
            f"At most {1 - mostly:.0%} of the images are of a single colour",
            "critical",
            mostly,
        ),
    )
    for id_, title, severity, share in one_color:
        yield _check(
            id_,
            title,
            severity,
            gxe.ExpectColumnValuesToBeInSet(column="one_color", value_set=[False], mostly=share),
            "There is nothing to be seen on these images: look how they were made.",
            "decoded",
        )


def _classes(limits: Thresholds) -> Iterator[Check]:
    images, classes = limits.images_per_class, limits.classes_per_split
    rules: tuple[tuple[str, str, Severity, str, float, str], ...] = (
        (
            "classes_disjoint",
            "No class is in two splits",
            "critical",
            "classes_in_one_split",
            0,
            "An encoder is judged on classes it has never seen: give each class one split.",
        ),
        (
            "class_names",
            "Class ids and class names belong together one to one",
            "critical",
            "one_name_per_class",
            0,
            AGAIN,
        ),
        (
            "images_per_class",
            f"Every class has at least {images} images",
            "critical",
            "images_per_class",
            images,
            "Add images to these classes, or take them out.",
        ),
        (
            "balance",
            f"The largest class has at most {limits.imbalance:g} times the images of the smallest",
            "warning",
            "balance",
            limits.imbalance,
            "Large classes weigh more in the figures; dataset.max_images_per_class evens them.",
        ),
        (
            "train_classes",
            f"At least {classes} classes are there to train",
            "critical",
            "train_classes",
            classes,
            "Add training classes.",
        ),
        (
            "test_classes",
            f"At least {classes} classes are there to test",
            "critical",
            "test_classes",
            classes,
            "Add test classes: with fewer, every answer is right.",
        ),
    )
    for id_, title, severity, rule, limit, advice in rules:
        yield _check(id_, title, severity, _rule(rule, limit), advice)


def _duplicates(limits: Thresholds) -> Iterator[Check]:
    leak = "What is trained on must not be tested on: keep one of each, in one split."
    repeat = "A repeated image is an easy hit and counts twice: keep one of each."
    places: tuple[tuple[str, Severity, str], ...] = (
        ("across", "critical", leak),
        ("inside", "warning", repeat),
    )
    for where, severity, advice in places:
        place = "in two splits" if where == "across" else "twice in one split"
        yield _check(
            f"no_exact_duplicates_{where}",
            f"No file is {place}",
            severity,
            _rule(f"exact_{where}_splits"),
            advice,
        )
        yield _check(
            f"no_near_duplicates_{where}",
            f"No picture is {place}, saved again, scaled, trimmed, made lighter or mirrored",
            severity,
            ExpectNoNearDuplicates(
                rule=f"near_{where}_splits",
                distance=limits.hash_distance,
                resemblance=limits.resemblance,
            ),
            advice,
            "decoded",
        )


def _layout(layout: str) -> Iterator[Check]:
    classes, images = sum(CANONICAL_CLASSES[layout]), IMAGES[layout]
    yield _check(
        "layout_split",
        "The first half of the classes trains, the last half tests",
        "critical",
        _rule("layout_split", half_of(layout)),
        "This is not the split of the layout: load the dataset again, or use layout folders.",
    )
    yield _check(
        "layout_classes",
        f"All {classes} classes of the layout {layout} are there",
        "warning",
        _rule("layout_classes", classes),
        "Figures cannot be compared with published ones.",
    )
    yield _check(
        "layout_images",
        f"All {images:,} images of the layout {layout} are there",
        "warning",
        gxe.ExpectTableRowCountToBeBetween(min_value=images, max_value=images),
        "Figures cannot be compared with published ones.",
        "table",
    )
