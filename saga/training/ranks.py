"""The processes that share a step, and what they tell each other.

A step belongs to all ranks together: every rank draws the same batches and pairs, computes the share
that is its own and learns the rest from the others. What was summed over ranks is summed over
images, completions and rows, so normalisation counts are those of the whole step, and two ranks
give the gradients of one process to within the rounding of sums.

    torchrun --nproc-per-node 2 …       `Ranks.joined(clock)` in each process finds the group

Shapes: n rows of a whole, B images.
"""

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from saga.training.exchanges import Exchanges, waiting
from saga.training.phases import PhaseClock

BUCKET = 1 << 25
"""Most numbers that travel at once (128 MiB)."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those that train together; alone by default."""

    rank: int = 0
    world: int = 1
    """Processes in all."""
    exchanges: Exchanges | None = field(default=None, compare=False, repr=False)
    """With the other processes; None where there are none."""

    @classmethod
    def joined(cls, clock: PhaseClock | None = None) -> "Ranks":
        """Of the process group that this process has joined; alone where there is none.

        Args:
            clock: knows the phase in which something is exchanged.
        """
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        exchanges = Exchanges(clock or PhaseClock())
        return cls(dist.get_rank(), dist.get_world_size(), exchanges)

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes files and speaks."""
        return self.rank == 0

    def block(self, n: int) -> slice:
        """This rank's rows of n, a block of neighbours; blocks differ by one row at most."""
        return slice(n * self.rank // self.world, n * (self.rank + 1) // self.world)

    def balanced(self, costs: Sequence[float]) -> list[int]:
        """This rank's pieces of work of known cost, in order; see `dealt`."""
        return dealt(costs, self.world)[self.rank]

    def whole(self, own: Tensor, rows: slice | list[int], n: int) -> Tensor:
        """The n rows of all ranks, each rank giving its own; without gradient.

        Args:
            own: this rank's rows.
            rows: which of the n they are.
            n: rows of all ranks.
        """
        if self.world == 1:
            return own
        whole = own.new_zeros(n, *own.shape[1:])
        whole[rows] = own.detach()
        # A sum of zeros and one row each: exact, and blocks may differ in size.
        return self._summed(whole)

    def from_first(self, tensor: Tensor) -> Tensor:
        """The first rank's; decisions that rest on rounded numbers are taken once."""
        if self.world > 1:
            self._exchange(lambda: dist.broadcast(tensor, 0), tensor.device)
        return tensor

    def total(
        self, gradients: Sequence[Tensor | None], like: Iterable[Tensor]
    ) -> list[Tensor | None]:
        """Sums over ranks; None where no rank has a gradient.

        Args:
            gradients: this rank's.
            like: one tensor for each, of its shape, dtype and device.
        """
        if self.world == 1:
            return list(gradients)
        like = list(like)
        if not like:
            return []
        there = torch.tensor([float(g is not None) for g in gradients], device=self._device)
        present = [bool(x) for x in self._summed(there) > 0]
        chosen = [i for i, p in enumerate(present) if p]
        sums: list[Tensor | None] = [None] * len(like)
        for bucket in _buckets(chosen, [t.numel() for t in like]):
            parts = [
                torch.zeros_like(like[i]) if gradients[i] is None else gradients[i] for i in bucket
            ]
            flat = self._summed(torch.cat([part.flatten().float() for part in parts]))  # type: ignore[union-attr]
            for i, part in zip(bucket, flat.split([like[i].numel() for i in bucket])):
                sums[i] = part.view_as(like[i]).to(like[i].dtype)
        return sums

    def total_of(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Sums of figures over ranks; every rank gives the same names, in any order."""
        if self.world == 1:
            return dict(figures)
        names = sorted(figures)
        summed = self._summed(
            torch.tensor([figures[n] for n in names], dtype=torch.float64, device=self._device)
        )
        return dict(zip(names, summed.tolist()))

    def most(self, value: int) -> int:
        """The largest over ranks."""
        if self.world == 1:
            return value
        largest = torch.tensor(value, device=self._device)
        self._exchange(lambda: dist.all_reduce(largest, dist.ReduceOp.MAX), self._device)
        return int(largest)

    def wait(self) -> None:
        """Until all ranks are here."""
        self.most(0)

    def check_equal(self, tensors: Sequence[Tensor]) -> None:
        """Make sure that all ranks hold the same weights.

        Raises:
            RuntimeError: if they do not: from there on they would train different encoders.
        """
        if self.world == 1 or not tensors:
            return
        ranks = self._of_each(torch.stack([t.detach().double().sum() for t in tensors]))
        apart = [r for r in range(self.world) if not torch.equal(ranks[r], ranks[0])]
        if apart:
            raise RuntimeError(
                f"ranks {apart} hold other weights than rank 0: they no longer train one encoder. "
                "Every process must have the same configuration, data, code and library versions."
            )

    def begin(self, step: int) -> None:
        """Exchanges are of this step from now on."""
        if self.exchanges is not None:
            self.exchanges.begin(step)

    def waits(self, seconds: float) -> dict[str, float]:
        """How much of the step so far the ranks waited for each other, see `exchanges.waiting`.

        Args:
            seconds: that the step took this rank.

        Returns:
            nothing, where there is one rank.
        """
        if self.exchanges is None:
            return {}
        phases, taken = self.exchanges.taken()
        own = torch.tensor([*taken, seconds], dtype=torch.float64, device=self._device)
        told = torch.stack(self._of_each(own)).cpu()
        return waiting(phases, told[:, :-1], told[:, -1])

    @property
    def _device(self) -> torch.device:
        assert self.exchanges is not None
        return self.exchanges.device

    def _summed(self, tensor: Tensor) -> Tensor:
        self._exchange(lambda: dist.all_reduce(tensor), tensor.device)
        return tensor

    def _of_each(self, tensor: Tensor) -> list[Tensor]:
        """Each rank's."""
        ranks = [torch.empty_like(tensor) for _ in range(self.world)]
        self._exchange(lambda: dist.all_gather(ranks, tensor), tensor.device)
        return ranks

    def _exchange(self, send: Callable[[], Any], device: torch.device) -> None:
        assert self.exchanges is not None, "ranks that join no group exchange nothing"
        self.exchanges(send, device)


ALONE = Ranks()


def dealt(costs: Sequence[float], world: int) -> list[list[int]]:
    """Each rank's pieces of work of known cost, in order.

    The dearest are dealt out first, each to the rank with the least so far.
    """
    loads = [(0.0, rank) for rank in range(world)]
    shares: list[list[int]] = [[] for _ in loads]
    for i in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        load, rank = loads[0]
        shares[rank].append(i)
        heapq.heapreplace(loads, (load + costs[i], rank))
    return [sorted(share) for share in shares]


def within(chosen: Sequence[int], sizes: Sequence[int]) -> list[list[int]]:
    """Where some pieces of work are, in each of the parts that all pieces come in.

    Args:
        chosen: of all pieces.
        sizes: pieces of each part.
    """
    starts = [sum(sizes[:part]) for part in range(len(sizes))]
    return [
        [i - start for i in chosen if start <= i < start + size]
        for start, size in zip(starts, sizes)
    ]


def _buckets(chosen: list[int], sizes: list[int]) -> Iterable[list[int]]:
    """Runs of indices whose sizes add up to a bucket at most; what is larger goes alone."""
    bucket: list[int] = []
    held = 0
    for i in chosen:
        if bucket and held + sizes[i] > BUCKET:
            yield bucket
            bucket, held = [], 0
        bucket.append(i)
        held += sizes[i]
    if bucket:
        yield bucket
