"""How far the work is and how long it will take, on stderr.

On a terminal: a bar per task. Elsewhere (a log file, CI): a line per task every few seconds.
Whoever works asks for a reporter by the task's name; where nobody watches, it is silent.

    with shown():
        report = reporter("train saga")
        report(40, 120, "reward 0.71")
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TextIO

Report = Callable[..., None]
"""report(done, total, note="")"""

LINE_EVERY_SECONDS = 15.0


class Board(Protocol):
    """Something that shows progress."""

    def update(self, task: str, done: int, total: int, note: str = "") -> None:
        """Say that `done` of `total` units of a task are done."""


@dataclass
class LineBoard:
    """Lines for a log."""

    stream: TextIO
    clock: Callable[[], float] = time.monotonic
    _began: dict[str, tuple[float, int]] = field(default_factory=dict)
    _said: dict[str, float] = field(default_factory=dict)
    _done: dict[str, int] = field(default_factory=dict)

    def update(self, task: str, done: int, total: int, note: str = "") -> None:
        """Write a line at the task's start and end, and now and then between."""
        now = self.clock()
        if done < self._done.get(task, done):  # the same task once more
            del self._began[task], self._said[task]
        self._done[task] = done
        began, first = self._began.setdefault(task, (now, done))
        if task in self._said and done < total and now - self._said[task] < LINE_EVERY_SECONDS:
            return
        self._said[task] = now
        left = remaining(done - first, total - first, now - began)
        when = f", about {left} left" if left and done < total else ""
        print(f"{task}: {done} of {total}{when}{f', {note}' if note else ''}", file=self.stream)  # noqa: T201
        self.stream.flush()


class BarBoard:
    """Live bars on a terminal."""

    def __init__(self, display: Any) -> None:
        self._display = display
        self._tasks: dict[str, Any] = {}
        self._done: dict[str, int] = {}

    def update(self, task: str, done: int, total: int, note: str = "") -> None:
        """Move the task's bar."""
        if task not in self._tasks:
            self._tasks[task] = self._display.add_task(task, total=total, note=note)
        if done < self._done.get(task, done):  # the same task once more
            self._display.reset(self._tasks[task])
        self._done[task] = done
        self._display.update(self._tasks[task], completed=done, total=total, note=note)


_boards: list[Board] = []


def reporter(task: str) -> Report:
    """A function (done, total, note="") that shows this task on whichever board is up."""

    def report(done: int, total: int, note: str = "") -> None:
        if _boards:
            _boards[-1].update(task, done, total, note)

    return report


@contextmanager
def shown(stream: TextIO | None = None) -> Iterator[None]:
    """Put up a board for as long as the block runs."""
    stream = stream or sys.stderr
    with _board(stream) as board:
        _boards.append(board)
        try:
            yield
        finally:
            _boards.remove(board)


@contextmanager
def _board(stream: TextIO) -> Iterator[Board]:
    if not stream.isatty():
        yield LineBoard(stream)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    display = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=Console(file=stream),
        speed_estimate_period=120,
        redirect_stdout=False,
    )
    with display:
        yield BarBoard(display)


def remaining(done: int, total: int, seconds: float) -> str:
    """Time left at the pace so far, in words; empty before the first unit."""
    if done <= 0 or seconds <= 0:
        return ""
    return duration(seconds * (total - done) / done)


def duration(seconds: float) -> str:
    """A duration in words: "50 s", "2 min 10 s", "1 h 5 min"."""
    whole = round(max(0.0, seconds))
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
