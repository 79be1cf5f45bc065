"""Pictures to pretrain on: groups of four related birds, never of a test or validation class."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from joblib import Parallel, delayed

from saga.data.synthetic.attributes import Combination, draw, mutate
from saga.data.synthetic.attributes import values_of as values_of
from saga.data.synthetic.drawing import Scene, draw_bird
from saga.supervisors.pretraining.vocabulary import DRAWN_BIRDS, Vocabulary

GROUP = 4
GROUPS_PER_JOB = 50


@dataclass(frozen=True, slots=True)
class Pool:
    """Images (n, S, S, 3) uint8 and their combinations; four in a row form a group.

    In a group of drawn birds the first two are of one class, the third differs from it in one
    attribute, the fourth in one to three. Of photos the last two are of one class as well.
    """

    images: np.ndarray
    combinations: list[Combination]

    @property
    def groups(self) -> int:
        """Number of groups."""
        return len(self.combinations) // GROUP


class Source(Protocol):
    """Where a pretraining's pictures come from."""

    @property
    def vocabulary(self) -> Vocabulary:
        """What can be said of them."""

    def pool(self, groups: int, image_size: int, seed: list[int], held_out: bool) -> Pool:
        """Some groups, to learn from or only to be measured on."""

    def unseen(self, groups: int, image_size: int, seed: list[int]) -> Pool | None:
        """Groups of classes that are never learned from, where the source has such."""


@dataclass(frozen=True)
class DrawnBirds:
    """The synthetic birds; held out ones are drawn apart, of the same combinations."""

    clutter: float
    workers: int
    vocabulary: Vocabulary = DRAWN_BIRDS

    def pool(self, groups: int, image_size: int, seed: list[int], held_out: bool) -> Pool:
        """Freshly drawn: the seed tells what is held out from the rest."""
        return render_pool(groups, image_size, self.clutter, seed, self.workers)

    def unseen(self, groups: int, image_size: int, seed: list[int]) -> Pool | None:
        """None: what the supervisor may never describe is not drawn, not even to measure."""
        return None


def render_pool(
    groups: int, image_size: int, clutter: float, seed: list[int], workers: int
) -> Pool:
    """Render groups in parallel; the result does not depend on the number of workers."""
    jobs = [
        (min(GROUPS_PER_JOB, groups - start), image_size, clutter, [*seed, start])
        for start in range(0, groups, GROUPS_PER_JOB)
    ]
    parts = Parallel(workers)(delayed(_render)(*job) for job in jobs)
    images = np.concatenate([images for images, _ in parts])
    return Pool(images, [combination for _, part in parts for combination in part])


def _render(
    groups: int, image_size: int, clutter: float, seed: list[int]
) -> tuple[np.ndarray, list[Combination]]:
    rng = np.random.default_rng(seed)
    images, combinations = [], []
    for _ in range(groups):
        parent = draw(rng, "train")
        near = mutate(parent, rng, 1, "train")
        far = mutate(parent, rng, int(rng.integers(1, 4)), "train")
        for combination in (parent, parent, near, far):
            scene = Scene(image_size, rng.uniform(0, clutter))
            images.append(draw_bird(values_of(combination), rng, scene))
            combinations.append(combination)
    return np.stack(images), combinations


def draw_pairs(groups: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Three pairs a group, in either order: one of the same class, two of different ones.

    Third and fourth bird happen to be alike once in a while; the answer then says so.
    """
    first, second = [], []
    for start in range(0, groups * GROUP, GROUP):
        near = (0, 2) if rng.random() < 0.5 else (1, 2)
        far = (1, 3) if rng.random() < 0.6 else (2, 3)
        for a, b in ((0, 1), near, far):
            if rng.random() < 0.5:
                a, b = b, a
            first.append(start + a)
            second.append(start + b)
    return np.array(first), np.array(second)


def commonest(pool: Pool, vocabulary: Vocabulary) -> dict[str, float]:
    """Share of the commonest value of each attribute: what always saying it would be right in."""
    values = np.array(pool.combinations)
    return {
        name: float(np.bincount(values[:, i]).max() / len(values))
        for i, name in enumerate(vocabulary.attributes)
    }
