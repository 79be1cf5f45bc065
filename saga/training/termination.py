"""SIGTERM in mid-training: the step under way is finished and saved, then the process ends as told.

A node that is taken away sends SIGTERM and waits some seconds; what was trained since the last
checkpoint would be lost.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Termination:
    """Whether the process has been told to end."""

    def __init__(self) -> None:
        self.asked = False

    def note(self, number: int, frame: FrameType | None) -> None:
        """Signal handler."""
        self.asked = True


@contextmanager
def postponed_termination() -> Iterator[Termination]:
    """Hold SIGTERM back while the block runs, and act on it at the end as the process would have.

    Python handles signals in its main thread alone; elsewhere nothing is held back.
    """
    termination = Termination()
    if threading.current_thread() is not threading.main_thread():
        yield termination
        return
    before = signal.signal(signal.SIGTERM, termination.note)
    try:
        yield termination
    finally:
        signal.signal(signal.SIGTERM, before)
        if termination.asked:
            signal.raise_signal(signal.SIGTERM)
