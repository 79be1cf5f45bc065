"""Where the time of a step goes, by phase.

Phases: "data" (waiting for images), "tower" (forward), "rollout", "replay", "attention", "dml",
"backward" (the tower's), "optimizer". A phase inside another counts for the inner one alone.
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class PhaseClock:
    """Adds up seconds by phase until `reset`."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.synchronise = False
        """Whether to wait for the GPU where phases meet. Without it a phase's seconds are those in
        which its kernels were launched, and the waiting falls on whoever asks for a value first."""
        self._open: list[str] = []
        self._since = 0.0

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Time a block."""
        self._switch()
        self._open.append(phase)
        try:
            yield
        finally:
            self._switch()
            self._open.pop()

    @property
    def phase(self) -> str:
        """The one under way; "other" outside all."""
        return self._open[-1] if self._open else "other"

    def reset(self) -> None:
        """Forget what was added up."""
        self.seconds.clear()

    def _switch(self) -> None:
        """Give the time since the last border to the phase that was under way."""
        if self.synchronise and torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now
