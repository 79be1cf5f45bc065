"""The six attributes of a synthetic bird, and which combinations belong to which split.

A combination's split is decided by a hash of its values alone, whatever the seed: about 30 % of the
8,000 combinations are for test classes, 10 % for validation classes, the rest for training classes
and for pretraining the supervisor. So no supervisor of ours has ever described a test class.
"""

import hashlib
import itertools
from typing import Literal

import numpy as np

Combination = tuple[int, ...]
Split = Literal["train", "validation", "test"]

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "bill color": ("yellow", "black", "red", "blue"),
    "crown color": ("red", "black", "blue", "white", "yellow"),
    "wing color": ("blue", "green", "brown", "gray", "red"),
    "wing pattern": ("plain", "bars", "spots", "edged"),
    "belly color": ("white", "yellow", "orange", "gray", "pink"),
    "tail color": ("orange", "white", "green", "black"),
}
COUNTS = tuple(len(values) for values in ATTRIBUTES.values())
SLOTS_TEST, SLOTS_VALIDATION, SLOTS = 3, 1, 10
FAMILY = (0, 1, 1, 2, 2)
"""Attributes in which the members of a family differ from its first."""
TRIES = 1000
TIES = {"wing color": "tail color", "crown color": "bill color"}
"""Attributes that decide another one in entangled classes."""


def values_of(combination: Combination) -> dict[str, str]:
    """The attribute values of a combination of indices."""
    return {name: values[i] for (name, values), i in zip(ATTRIBUTES.items(), combination)}


def split_of(combination: Combination) -> Split:
    """The only split in which a class may have this combination."""
    text = "|".join(values_of(combination).values())
    slot = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % SLOTS
    if slot < SLOTS_TEST:
        return "test"
    return "validation" if slot < SLOTS_TEST + SLOTS_VALIDATION else "train"


def draw(rng: np.random.Generator, split: Split) -> Combination:
    """A random combination of the given split."""
    while True:
        combination = tuple(int(rng.integers(n)) for n in COUNTS)
        if split_of(combination) == split:
            return combination


def mutate(
    combination: Combination, rng: np.random.Generator, changes: int, split: Split
) -> Combination:
    """A combination of the split that differs in exactly `changes` attributes.

    Raises:
        LookupError: if none was found; a combination with one change that is of the split need not
            exist.
    """
    for _ in range(TRIES):
        mutated = list(combination)
        for i in rng.choice(len(COUNTS), changes, replace=False):
            mutated[i] = (mutated[i] + int(rng.integers(1, COUNTS[i]))) % COUNTS[i]
        if split_of(tuple(mutated)) == split:
            return tuple(mutated)
    raise LookupError(f"{values_of(combination)} has no {split} combination at {changes} changes")


def independent_classes(n: int, rng: np.random.Generator, split: Split) -> list[Combination]:
    """`n` distinct combinations, drawn independently."""
    classes: dict[Combination, None] = {}
    while len(classes) < n:
        classes.setdefault(draw(rng, split))
    return list(classes)


def family_classes(n: int, rng: np.random.Generator, split: Split) -> list[Combination]:
    """`n` distinct combinations in families of five: one, two at one change, two at two changes."""
    classes: dict[Combination, None] = {}
    while len(classes) < n:
        parent = draw(rng, split)
        try:
            family = [mutate(parent, rng, c, split) if c else parent for c in FAMILY]
        except LookupError:
            continue
        for member in family[: n - len(classes)]:
            classes.setdefault(member)
    return list(classes)


def entangled_classes(n: int, rng: np.random.Generator, split: Split) -> list[Combination]:
    """`n` distinct combinations in which one attribute decides another, as in `TIES`.

    Which value goes with which is drawn too; every value of the decided attribute occurs.

    Raises:
        LookupError: if the split has fewer such combinations.
    """
    names = list(ATTRIBUTES)
    ties = []
    for first, second in TIES.items():
        i, j = names.index(first), names.index(second)
        ties.append((i, j, rng.permutation(COUNTS[i]) % COUNTS[j]))
    tied = [
        combination
        for combination in itertools.product(*map(range, COUNTS))
        if all(combination[j] == decided[combination[i]] for i, j, decided in ties)
        and split_of(combination) == split
    ]
    if len(tied) < n:
        raise LookupError(f"{n} entangled {split} classes asked for, there are {len(tied)}")
    return [tied[i] for i in rng.permutation(len(tied))[:n]]
