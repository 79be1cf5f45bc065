"""What ranks send each other: how long it takes, how much of that is waiting, and who did not come.

An exchange takes a rank as long as it waits for the last one to come, and then as long as the data
travel. Who comes last has the latter alone: the least time of all ranks is that of the data, and what a
rank spent beyond it is waiting. Ranks tell each other their times once a step.

On a GPU the times are between events on its stream, read when the step's last value has been; nothing
waits for the GPU on their account.

NCCL ends the whole process when an exchange takes too long, and its host is long ahead by then. So the
hosts meet over gloo before each of NCCL's exchanges, and it is gloo's time limit that finds who hangs.
Those that waited in vain leave a mark in the group's store: whose mark is missing did not come.

Shapes: R ranks, X exchanges of a step.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist

from saga.training.phases import PhaseClock

GRACE_SECONDS = 3.0
"""How long marks are waited for: all ranks learn of a broken exchange at about the same time."""
LOOK_SECONDS = 0.1

CPU = torch.device("cpu")
Events = tuple[torch.cuda.Event, torch.cuda.Event]


class MissingRanksError(RuntimeError):
    """Ranks did not come to an exchange within the time limit, or have ended."""


class Exchanges:
    """Sends, times, and explains what failed; of one process of the group."""

    def __init__(self, clock: PhaseClock) -> None:
        """Before the first step; the clock knows the phase."""
        self._clock = clock
        self._step = 0
        self._count = 0
        self._taken: list[tuple[str, float | Events]] = []

    @property
    def device(self) -> torch.device:
        """Where figures travel: NCCL knows the GPU alone."""
        return CPU if _hosts_meet() else torch.device("cuda")

    def begin(self, step: int) -> None:
        """A new step: nothing has been exchanged."""
        self._step = step
        self._taken.clear()

    def __call__(self, send: Callable[[], Any], device: torch.device) -> None:
        """One exchange, to which all ranks come.

        Args:
            send: the collective.
            device: of what is sent.

        Raises:
            MissingRanksError: if ranks did not come within the group's time limit, naming them.
        """
        self._count += 1
        began = time.monotonic()
        try:
            with self._timed(device):
                if device.type == "cuda" and _hosts_meet():
                    dist.all_reduce(torch.zeros(1))
                send()
        except RuntimeError as error:
            missing = self._missing(time.monotonic() - began)
            if missing is None:
                raise
            raise missing from error

    def taken(self) -> tuple[list[str], list[float]]:
        """Phase and seconds of each of the step's exchanges."""
        phases = [phase for phase, _ in self._taken]
        return phases, [_seconds(took) for _, took in self._taken]

    @contextmanager
    def _timed(self, device: torch.device) -> Iterator[None]:
        phase = self._clock.phase
        if device.type != "cuda":
            began = time.perf_counter()
            yield
            self._taken.append((phase, time.perf_counter() - began))
            return
        events = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        events[0].record()
        yield
        events[1].record()
        self._taken.append((phase, events))

    def _missing(self, waited: float) -> MissingRanksError | None:
        """What to tell of an exchange that failed; None where all ranks came to it."""
        where = f"step {self._step}, phase {self._clock.phase}" if self._step else "the start"
        try:
            marks = _marks(self._count)
        except RuntimeError:  # the store is kept by the first rank or by whoever started it
            return MissingRanksError(
                f"The exchange of {where} failed after {waited:.0f} s, and the group's store does not "
                "answer: whoever keeps it, the first rank or its launcher, hangs or has ended."
            )
        absent = [rank for rank, mark in enumerate(marks) if mark is None]
        behind = [
            rank for rank, mark in enumerate(marks) if mark is not None and mark < self._count
        ]
        if not (absent or behind):
            return None
        named = ", ".join(map(str, sorted(absent + behind)))
        return MissingRanksError(
            f"Of {len(marks)} ranks these did not come to {where} within {waited:.0f} s: {named}. They "
            "hang or have ended; what they said last tells why. A checkpoint is continued by the next "
            "start."
        )


def waiting(phases: list[str], took_RX: torch.Tensor, seconds_R: torch.Tensor) -> dict[str, float]:
    """How much of a step the ranks waited for each other.

    Args:
        phases: of the step's exchanges.
        took_RX: seconds that each took each rank.
        seconds_R: of the step.

    Returns:
        "wait_share", the mean over ranks, "wait_share_max", "wait_share_of_0" … of each rank,
        "wait_seconds_PHASE", means over ranks, and "exchange_share": what data took to travel.
    """
    least_X = took_RX.min(0).values
    waited_RX = took_RX - least_X
    share_R = waited_RX.sum(1) / seconds_R
    by_phase = dict.fromkeys(phases, 0.0)
    for phase, seconds in zip(phases, waited_RX.mean(0).tolist(), strict=True):
        by_phase[phase] += seconds
    return {
        "wait_share": float(share_R.mean()),
        "wait_share_max": float(share_R.max()),
        "exchange_share": float(least_X.sum() / seconds_R.mean()),
        **{f"wait_share_of_{rank}": share for rank, share in enumerate(share_R.tolist())},
        **{f"wait_seconds_{phase}": seconds for phase, seconds in by_phase.items()},
    }


def _marks(count: int) -> list[int | None]:
    """How many exchanges each rank had begun when one failed; None where it left no mark.

    Args:
        count: this rank's.
    """
    from torch.distributed.distributed_c10d import _get_default_store

    store, world = _get_default_store(), dist.get_world_size()
    keys = [f"saga/failed/{rank}" for rank in range(world)]
    store.set(keys[dist.get_rank()], str(count))
    ends = time.monotonic() + GRACE_SECONDS
    while not store.check(keys) and time.monotonic() < ends:
        time.sleep(LOOK_SECONDS)
    return [int(store.get(key)) if store.check([key]) else None for key in keys]


def _hosts_meet() -> bool:
    """Whether tensors on the CPU can travel."""
    return "gloo" in dist.get_backend_config()


def _seconds(took: float | Events) -> float:
    if isinstance(took, float):
        return took
    took[1].synchronize()
    return took[0].elapsed_time(took[1]) / 1000
