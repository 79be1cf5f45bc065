"""Batches drawn before they are needed, so that their images are read while earlier ones are used."""

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from saga.data.batches import ImageStore

Batch = tuple[list[int], list[tuple[int, int, bool]]]
"""Indices of images, and pairs of them as positions in the batch (first, second, same class)."""
REMEMBERED = 64


class BatchSampler(Protocol):
    """Endless batches that depend on its position alone."""

    def next_batch(self) -> Batch:
        """The batch at this position, which moves on."""

    def state_dict(self) -> dict[str, Any]:
        """The position."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a position."""


class _Drawn(NamedTuple):
    batch: Batch
    before: dict[str, Any]
    """The sampler's position before it was drawn."""


class LookAhead:
    """A sampler's batches in its order, some of them drawn ahead and their images prefetched.

    Its position is that of a sampler which has given out the same batches and drawn none ahead. Each
    batch is remembered with the sampler's position before it: with 4,000 pairs and 6,000 images that
    takes less time than to draw the batch.
    """

    def __init__(
        self,
        sampler: BatchSampler,
        store: ImageStore,
        batches: int,
        own: Callable[[list[int]], list[int]] = list,
    ) -> None:
        """Nothing is drawn yet.

        Args:
            sampler: nobody else may draw from it.
            store: told which images come.
            batches: drawn ahead; 0 draws and reads when asked.
            own: those of a batch's images that this process will ask the store for.
        """
        self._sampler, self._store, self._batches = sampler, store, batches
        self._own = own
        self._ahead: deque[_Drawn] = deque()
        self._given: deque[_Drawn] = deque(maxlen=REMEMBERED)

    def next_batch(self) -> Batch:
        """Indices of one batch, and pairs as positions in it."""
        while len(self._ahead) <= self._batches:
            before = self._sampler.state_dict()
            self._ahead.append(_Drawn(self._sampler.next_batch(), before))
        self._prefetch()
        self._given.append(self._ahead.popleft())
        return self._given[-1].batch

    def rewind(self, count: int) -> None:
        """Take back the last batches given out; they are given out again, in the same order.

        Args:
            count: of batches; 0 to REMEMBERED.

        Raises:
            ValueError: if fewer are remembered.
        """
        if not 0 <= count <= len(self._given):
            raise ValueError(f"{len(self._given)} batches can be taken back, got {count}")
        for _ in range(count):
            self._ahead.appendleft(self._given.pop())
        self._prefetch()

    def state_dict(self) -> dict[str, Any]:
        """The position as JSON."""
        return self._ahead[0].before if self._ahead else self._sampler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a position; what was drawn ahead is dropped."""
        self._sampler.load_state_dict(state)
        self._ahead.clear()
        self._given.clear()
        self._store.forget()

    def _prefetch(self) -> None:
        """All that comes, soonest first; an image of several batches is let go after the first."""
        if self._batches:
            self._store.prefetch([i for drawn in self._ahead for i in self._own(drawn.batch[0])])
