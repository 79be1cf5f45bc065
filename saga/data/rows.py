"""One image as its dataset lists it: what a layout gives, before any image file was opened."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from saga.data.images import Box
from saga.data.splits import SplitName, class_lists_digest
from saga.errors import UserInputError

FEWEST_IMAGES = 2
"""Of a class: an image without another of its class can neither teach nor be found."""


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One image, its class and its split."""

    image_id: str
    path: str
    """Relative to the root, POSIX."""
    class_id: int
    class_name: str
    split: SplitName
    source: str = ""
    """File and line that list it, for messages; empty for a file found in a folder."""
    bbox: Box | None = None
    """x, y, width, height in pixels of the image as stored (before EXIF orientation), or None."""
    attributes: dict[str, str] | None = None
    """Values by name, or None."""

    @property
    def attributes_json(self) -> str | None:
        """The attributes as the manifest keeps them."""
        return None if self.attributes is None else json.dumps(self.attributes)


def first_images(rows: list[ImageRow], most: int | None) -> list[ImageRow]:
    """At most `most` images of each class, the first by path."""
    if most is None:
        return rows
    kept: dict[int, list[ImageRow]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.path):
        if len(kept[row.class_id]) < most:
            kept[row.class_id].append(row)
    return [row for members in kept.values() for row in members]


def check_unique(rows: Iterable[ImageRow]) -> None:
    """Refuse an image that is listed twice.

    Raises:
        UserInputError: naming the image and both places.
    """
    for name in ("image_id", "path"):
        seen: dict[str, ImageRow] = {}
        for row in rows:
            first = seen.setdefault(getattr(row, name), row)
            if first is not row:
                raise UserInputError(
                    f"{row.source or row.path}: the {name} {getattr(row, name)!r} is there twice, "
                    f"first in {first.source or first.path}. Each image belongs to one class, once."
                )


def check_classes(rows: Iterable[ImageRow], listed: dict[int, str]) -> None:
    """Refuse classes with fewer than two images.

    Args:
        rows: the images.
        listed: names of all classes that should have images, by class id.

    Raises:
        UserInputError: naming the classes.
    """
    counts = dict.fromkeys(listed, 0)
    for row in rows:
        counts[row.class_id] += 1
    scarce = [f"{listed[c]} ({n})" for c, n in counts.items() if n < FEWEST_IMAGES]
    if scarce:
        more = f" and {len(scarce) - 10} more" if len(scarce) > 10 else ""
        raise UserInputError(
            f"Each class needs at least {FEWEST_IMAGES} images, one to ask with and one to find. "
            f"Classes with fewer: {', '.join(scarce[:10])}{more}. Add images, or take them out."
        )


def lists_digest(rows: Iterable[ImageRow]) -> str:
    """`class_lists_digest` of these rows."""
    names = {row.class_id: (row.split, row.class_name) for row in rows}
    ordered = [names[class_id] for class_id in sorted(names)]
    return class_lists_digest(
        [name for split, name in ordered if split != "test"],
        [name for split, name in ordered if split == "test"],
    )
