"""Class-balanced batches with a true epoch.

A batch is P distinct classes × K images. Each class's images are shuffled and cut into blocks of K,
and the blocks are laid into as few batches as hold them; every image appears at least once an
epoch. What is missing to full blocks and full batches is filled with repeats, whose number is known
(`repeats`): a class that is much larger than the others makes many, since a batch takes one block
of it.

An epoch's order follows from the seed and its number alone, so a position is two numbers. With
several ranks all make the same order and take turns, so their batches are disjoint and equally
many.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from saga.errors import UserInputError
from saga.files import digest_of

Batch = list[int]


class ClassBalancedSampler:
    """Endless batches of indices."""

    def __init__(
        self,
        labels: Sequence[int],
        classes_per_batch: int,
        images_per_class: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """Lay out an epoch.

        Args:
            labels: class of each image.
            classes_per_batch: P.
            images_per_class: K.
            seed: of all epochs.
            rank: of this process.
            world_size: processes that share an epoch.

        Raises:
            UserInputError: if there are fewer than P classes.
        """
        if min(classes_per_batch, images_per_class) < 1 or not 0 <= rank < world_size:
            raise ValueError("a batch needs classes and images, and 0 <= rank < world_size")
        self._classes, members = np.unique(np.asarray(labels, dtype=np.int64), return_inverse=True)
        check_enough_classes(len(self._classes), classes_per_batch)
        self._members = [np.flatnonzero(members == c) for c in range(len(self._classes))]
        self.P, self.K = classes_per_batch, images_per_class
        self._seed, self._rank, self._world = seed, rank, world_size
        self._blocks = np.array([-(-len(m) // self.K) for m in self._members])
        least = max(self._blocks.max(), -(-self._blocks.sum() // self.P))
        self._batches = int(-(-least // world_size) * world_size)
        self._images = len(members)
        self.epoch = 0
        """Number of the epoch that the next batch is of, from 0."""
        self._position = 0
        self._order: tuple[int, list[Batch]] | None = None

    @property
    def batches_per_epoch(self) -> int:
        """Of each rank."""
        return self._batches // self._world

    @property
    def repeats(self) -> int:
        """Places of an epoch, over all ranks, that go to images which had a place already."""
        return self._batches * self.P * self.K - self._images

    def next_batch(self) -> Batch:
        """Indices of the next batch, class by class."""
        batch = self.epoch_order(self.epoch)[self._position * self._world + self._rank]
        self._position += 1
        if self._position == self.batches_per_epoch:
            self.epoch, self._position = self.epoch + 1, 0
        return batch

    def epoch_order(self, epoch: int) -> list[Batch]:
        """All batches of an epoch, of all ranks; rank r takes each r-th of `world_size`."""
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, self._lay_out(np.random.default_rng([self._seed, epoch]))
        return self._order[1]

    def state_dict(self) -> dict[str, Any]:
        """The position as JSON."""
        return {"epoch": self.epoch, "position": self._position, "key": self._key()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a position.

        Raises:
            ValueError: if it is the position of a sampler of other images or settings.
        """
        if state["key"] != self._key():
            raise ValueError("the position is of a sampler with other labels, sizes, seed or ranks")
        self.epoch, self._position = state["epoch"], state["position"]

    def _key(self) -> str:
        sizes = [self.P, self.K, self._seed, self._rank, self._world]
        return digest_of([sizes, self._classes.tolist(), [m.tolist() for m in self._members]])

    def _lay_out(self, rng: np.random.Generator) -> list[Batch]:
        """Batches of distinct classes that use up every class's blocks."""
        left = self._with_fill(rng)
        blocks = [self._cut(c, int(count), rng) for c, count in enumerate(left)]
        batches = []
        for remaining in range(self._batches, 0, -1):
            chosen = _choose(left, self.P, remaining, rng)
            left[chosen] -= 1
            batches.append([image for c in chosen for image in blocks[c].pop()])
        # As laid out, large classes gather towards the end.
        return [batches[i] for i in rng.permutation(len(batches))]

    def _with_fill(self, rng: np.random.Generator) -> np.ndarray:
        """Blocks of each class, with further ones, evenly, until they fill all batches."""
        counts = self._blocks.copy()
        while missing := int(self._batches * self.P - counts.sum()):
            free = np.flatnonzero(counts < self._batches)
            counts[rng.permutation(free)[:missing]] += 1
        return counts

    def _cut(self, c: int, count: int, rng: np.random.Generator) -> list[Batch]:
        """`count` blocks of a class; the first ones hold each image once."""
        members = self._members[c]
        shuffled = rng.permutation(members)
        blocks = [shuffled[i * self.K : (i + 1) * self.K] for i in range(count)]
        return [_filled(block, members, self.K, rng) for block in blocks]


def check_enough_classes(found: int, wanted: int) -> None:
    """Refuse more classes a batch than there are.

    Raises:
        UserInputError: naming the setting.
    """
    if found < wanted:
        raise UserInputError(
            f"training.classes_per_batch is {wanted}, but there are {found} training classes. "
            f"Allowed: 2 to {found}."
        )


def _choose(left: np.ndarray, count: int, remaining: int, rng: np.random.Generator) -> np.ndarray:
    """Classes of one batch, the likelier the more of their blocks are left.

    A class with as many blocks as there are batches left is in all of them. That keeps the rest
    possible: there are never more such classes than places, and always enough others.
    """
    weight = np.where(left == remaining, np.inf, left.astype(float))
    with np.errstate(divide="ignore"):
        keys = rng.exponential(size=len(left)) / weight
    return np.argsort(keys, kind="stable")[:count]


def _filled(
    block: np.ndarray, members: np.ndarray, size: int, rng: np.random.Generator
) -> list[int]:
    """A block brought to its size: by images it lacks, by repeats where the class is too small."""
    others = rng.permutation(np.setdiff1d(members, block))
    full = np.concatenate([block, others])[:size]
    again = rng.choice(members, size - len(full))
    return np.concatenate([full, again]).astype(int).tolist()
