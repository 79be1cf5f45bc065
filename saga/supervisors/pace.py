"""How a batch of completions is driven: when the host looks, and which windows the steps have.

Shapes: R rows still decoding.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from saga.supervisors.generation import Generation
from saga.supervisors.shared_prefix import Window

COMPACT_SHARE = 0.25
"""Where rows are counted exactly, ended ones leave once they are this share."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What is sampled does not depend on any of this."""

    check_every: int
    """Tokens between two looks at which rows have ended; a look waits for the device."""
    room_step: int
    """Own tokens by which attention's room grows; 1 makes it exact, more means fewer shapes."""
    halving: bool
    """Whether rows only ever become half as many: few shapes. Else they become those alive."""
    kept: bool
    """Whether the buffers stay for the next call, as captured graphs need."""

    def room(self, tokens: int, limit: int) -> int:
        """Room for so many own tokens."""
        return min(-(-tokens // self.room_step) * self.room_step, limit)

    def rows(self, alive: int, rows: int) -> int:
        """How many rows go on, of which `alive` have not ended."""
        if not self.halving:
            return alive if alive <= (1 - COMPACT_SHARE) * rows else rows
        while rows > 1 and alive <= -(-rows // 2):
            rows = -(-rows // 2)
        return rows


EXACT = Pace(check_every=1, room_step=1, halving=False, kept=False)
"""For the CPU: a look costs nothing, padding does."""

BUCKETS = Pace(check_every=16, room_step=128, halving=True, kept=True)
"""For a GPU: a look costs more than the steps it saves; few shapes, each captured once."""


def pace_of(device: torch.device) -> Pace:
    """The pace of a kind of device."""
    return BUCKETS if device.type == "cuda" else EXACT


def drive(generation: Generation, rows: int, pace: Pace, step: Callable[[Window], None]) -> None:
    """Take steps until every row has ended or has reached the limit.

    Args:
        generation: begun.
        rows: how many rows it was begun with.
        pace: see there.
        step: `generation.step`, or a replay of it.
    """
    limit, memory = generation.limit, generation.memory
    rows = pace.rows(rows, len(generation.places_N))
    for own in range(1, limit):  # tokens of a row in the memory after this step
        if (own - 1) % pace.check_every == 0:
            alive = generation.alive(rows)
            if alive == 0:
                return
            fewer = pace.rows(alive, rows)
            if fewer < rows:
                generation.compact(Window(rows, own - 1, True), Window(fewer, own - 1, True))
                rows = fewer
        room = pace.room(own, limit)
        memory.reserve(room)
        step(Window(rows, room, pace.room_step == 1))
