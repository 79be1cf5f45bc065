"""Zero-shot splits: which classes train, are held out, are never seen (METHOD section 6).

The four sets of the paper are split in halves by the order of their classes. CUB-200-2011's class
lists are known here and bound by a digest; of the other three only the numbers of classes are, so
their whole list is held to the canonical counts, and a smaller tree (a sample, a test) is halved by
the same rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from saga.errors import UserInputError
from saga.files import digest_of

if TYPE_CHECKING:
    from saga.data.rows import ImageRow

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")

CANONICAL_CLASSES = {
    "cub200": (100, 100),
    "cars196": (98, 98),
    "aircraft": (50, 50),
    "inat_aves": (743, 743),
}
"""Training and test classes of the layouts with a fixed split."""
CUB200_CLASS_LISTS = "028fe2a3ce0f5fabeb68561cd7f5f79bf6cd98ac616f170ea5f84d74cf9264aa"
"""Digest of CUB-200-2011's class lists, of its own classes.txt (see `class_lists_digest`)."""
FEWEST_CLASSES = 2
"""On either side: with one class, every answer is right."""


def halves(class_ids: Sequence[int], layout: str) -> dict[int, SplitName]:
    """The first half of the classes to train, the last half to test.

    Args:
        class_ids: in the order of the dataset. Of an odd number the one in the middle trains.
        layout: whose canonical number of classes must not be exceeded, if it has one.

    Raises:
        UserInputError: if there are more classes than the set has, or too few for two halves.
    """
    total = len(class_ids)
    most = sum(CANONICAL_CLASSES.get(layout, (total, 0)))
    if total > most:
        raise UserInputError(
            f"The layout {layout} has {most} classes, but {total} are listed. Allowed: its {most} "
            "classes, or fewer of them. Is it another dataset (dataset.layout)?"
        )
    if total < 2 * FEWEST_CLASSES:
        raise UserInputError(
            f"A zero-shot split needs at least {2 * FEWEST_CLASSES} classes, half to train and "
            f"half to test; found {total}."
        )
    first = (total + 1) // 2
    return {c: "train" if place < first else "test" for place, c in enumerate(class_ids)}


def hold_out(rows: list[ImageRow], n: int, seed: int) -> list[ImageRow]:
    """Move `n` training classes, chosen by the seed, to the split "validation".

    No validation split exists in this field; choosing models on some of the training classes is
    ours.

    Raises:
        UserInputError: if fewer than two training classes would stay, or the dataset has validation
            classes of its own.
    """
    if n == 0:
        return rows
    own = {row.class_id for row in rows if row.split == "validation"}
    if own:
        raise UserInputError(
            f"dataset.validation_classes is {n}, but the dataset has {len(own)} validation classes "
            "of its own. Set it to 0."
        )
    training = sorted({row.class_id for row in rows if row.split == "train"})
    most = len(training) - FEWEST_CLASSES
    if n > most:
        raise UserInputError(
            f"dataset.validation_classes is {n}, but there are {len(training)} training classes, "
            f"of which {FEWEST_CLASSES} must stay. Allowed: 0 to {max(0, most)}."
        )
    chosen = set(np.random.default_rng(seed).choice(training, n, replace=False).tolist())
    return [replace(row, split="validation") if row.class_id in chosen else row for row in rows]


def class_lists_digest(seen: Sequence[str], unseen: Sequence[str]) -> str:
    """SHA-256 that binds a zero-shot split, whatever part of its training classes is held out.

    Args:
        seen: names of training and validation classes together, in order of class id.
        unseen: names of the test classes, in order of class id.
    """
    return digest_of({"train": list(seen), "test": list(unseen)})


def check_class_lists(found: str, expected: str | None) -> None:
    """Refuse a split that is not the expected one.

    Raises:
        UserInputError: naming both digests.
    """
    if expected is not None and found != expected:
        raise UserInputError(
            "The dataset's class lists are not those expected, so its figures could not be "
            f"compared: dataset.class_list_digest is {expected}, the digest of the train and "
            f"test classes found is {found}. Use the dataset's own class list, or, if this split "
            "is the one you mean, set dataset.class_list_digest to the second (null takes any)."
        )
