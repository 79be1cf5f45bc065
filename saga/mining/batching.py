"""Batches that stay class-balanced and hold mined pairs.

A batch is P classes × K images. For the strategy "random" the batches are those of the
class-balanced sampler, whose epochs show every image, and balanced pairs are drawn inside the
batch, as in the paper. For mined pairs the batch is seeded with pairs of the set: their classes and
images enter first, and random classes with per-class cycles of images fill what is left; there an
epoch has no meaning. Then the set's pairs that lie in the batch are used, and random pairs of the
batch fill up to the number asked for; same-class and different-class pairs stay balanced.

The whole position (epoch, cycles, cursor, generator) is JSON, and continuing from it gives the same
batches.
"""

from collections import defaultdict
from typing import Any

import numpy as np

from saga.data.sampler import ClassBalancedSampler, check_enough_classes
from saga.errors import UserInputError
from saga.mining.pairs import PairSet

BatchPair = tuple[int, int, bool]


class PairGuidedSampler:
    """Endless batches of indices, and the pairs to compare in each."""

    def __init__(
        self,
        labels: list[int],
        image_ids: list[str],
        pairs: PairSet,
        classes_per_batch: int,
        images_per_class: int,
        pairs_per_batch: int,
        seed: int,
    ) -> None:
        self.labels = labels
        self.P, self.K, self.wanted = classes_per_batch, images_per_class, pairs_per_batch
        self._members: dict[int, list[int]] = defaultdict(list)
        for i, label in enumerate(labels):
            self._members[label].append(i)
        self._check()
        self._mined = _indexed(pairs, image_ids)
        self._partners: dict[int, list[int]] = defaultdict(list)
        for row, (i, j, _) in enumerate(self._mined):
            self._partners[i].append(row)
            self._partners[j].append(row)
        self._epochs = ClassBalancedSampler(labels, classes_per_batch, images_per_class, seed)
        self._rng = np.random.default_rng(seed)
        self._cycles: dict[int, list[int]] = {label: [] for label in self._members}
        self._order: list[int] = []

    def next_batch(self) -> tuple[list[int], list[BatchPair]]:
        """Indices of one batch, and pairs as positions in it."""
        batch = self._around_mined() if self._mined else self._epochs.next_batch()
        return batch, self._pairs(batch)

    def state_dict(self) -> dict[str, Any]:
        """The position as JSON."""
        return {
            "rng": self._rng.bit_generator.state,
            "cycles": {str(label): list(cycle) for label, cycle in self._cycles.items()},
            "order": list(self._order),
            "epochs": self._epochs.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a position."""
        self._rng.bit_generator.state = state["rng"]
        self._cycles = {int(label): list(cycle) for label, cycle in state["cycles"].items()}
        self._order = list(state["order"])
        self._epochs.load_state_dict(state["epochs"])

    def _check(self) -> None:
        check_enough_classes(len(self._members), self.P)
        smallest = min(map(len, self._members.values()))
        if smallest < self.K:
            raise UserInputError(
                f"training.images_per_class is {self.K}, but the smallest training class has "
                f"{smallest} images. Allowed: 2 to {smallest}."
            )

    def _around_mined(self) -> list[int]:
        """A batch seeded with mined pairs, filled up with random classes and images."""
        chosen = self._seeded()
        for label in self._fill_classes(set(chosen)):
            chosen.setdefault(label, [])
        batch: list[int] = []
        for label, images in chosen.items():
            images += self._draw(label, self.K - len(images), set(images))
            batch += images
        return batch

    def _seeded(self) -> dict[int, list[int]]:
        """Images of mined pairs, until every class of the batch is chosen."""
        chosen: dict[int, list[int]] = {}
        for _ in range(4 * self.P):
            row = self._next_mined()
            i, j, _ = self._mined[row]
            needed = {self.labels[i], self.labels[j]} - chosen.keys()
            if len(chosen) + len(needed) > self.P:
                continue
            for image in (i, j):
                images = chosen.setdefault(self.labels[image], [])
                if image not in images and len(images) < self.K:
                    images.append(image)
        return chosen

    def _next_mined(self) -> int:
        """Mined rows in shuffled cycles, so that every pair comes round."""
        if not self._order:
            self._order = self._rng.permutation(len(self._mined)).tolist()
        return self._order.pop()

    def _fill_classes(self, chosen: set[int]) -> list[int]:
        """Further random classes up to P."""
        free = np.array(sorted(self._members.keys() - chosen))
        missing = self.P - len(chosen)
        return [int(c) for c in self._rng.choice(free, missing, replace=False)] if missing else []

    def _draw(self, label: int, count: int, taken: set[int]) -> list[int]:
        """Images of a class from its shuffled cycle; none twice in a batch, all in turn."""
        drawn: list[int] = []
        while len(drawn) < count:
            if not self._cycles[label]:
                self._cycles[label] = self._rng.permutation(self._members[label]).tolist()
            image = self._cycles[label].pop()
            if image not in taken:
                drawn.append(image)
                taken.add(image)
        return drawn

    def _pairs(self, batch: list[int]) -> list[BatchPair]:
        """Mined pairs inside the batch first, random ones after; half of each kind."""
        place = {image: position for position, image in enumerate(batch)}
        rows = {
            row
            for image in batch
            for row in self._partners.get(image, ())
            if self._mined[row][0] in place and self._mined[row][1] in place
        }
        found: dict[bool, dict[tuple[int, int], None]] = {True: {}, False: {}}
        for row in self._rng.permutation(sorted(rows)).astype(int).tolist():
            i, j, same = self._mined[row]
            found[same].setdefault((place[i], place[j]))
        half = self.wanted // 2
        pairs: list[BatchPair] = []
        for same, count in ((True, self.wanted - half), (False, half)):
            kept = list(found[same])[:count]
            kept += self._random(batch, same, count - len(kept), set(kept))
            pairs += [(i, j, same) for i, j in kept]
        return [pairs[int(i)] for i in self._rng.permutation(len(pairs))]

    def _random(
        self, batch: list[int], same: bool, count: int, taken: set[tuple[int, int]]
    ) -> list[tuple[int, int]]:
        """Random pairs of the batch that are not taken, as many as there are."""
        labels = np.array([self.labels[i] for i in batch])
        first, second = np.nonzero(np.triu((labels[:, None] == labels[None]) == same, 1))
        known = taken | {(j, i) for i, j in taken}
        free = [(int(i), int(j)) for i, j in zip(first, second) if (int(i), int(j)) not in known]
        order = self._rng.permutation(len(free))[: max(0, count)]
        swap = self._rng.random(len(order)) < 0.5
        return [free[k][::-1] if s else free[k] for k, s in zip(order, swap)]  # type: ignore[misc]


def _indexed(pairs: PairSet, image_ids: list[str]) -> list[BatchPair]:
    """The set's pairs as indices; the strategy "random" pairs inside each batch instead."""
    if pairs.strategy == "random":
        return []
    index = {image_id: i for i, image_id in enumerate(image_ids)}
    unknown = set(pairs.frame["anchor"]).union(pairs.frame["other"]) - index.keys()
    if unknown:
        raise UserInputError(
            f"The pair set names {len(unknown)} images that are not training images, for example "
            f"{sorted(unknown)[0]}. Mine pairs again on this dataset."
        )
    rows = zip(pairs.frame["anchor"], pairs.frame["other"], pairs.frame["same_class"])
    return [(index[a], index[b], bool(same)) for a, b, same in rows]
