"""Runs cells as processes of their own, some at a time; those that are whole are reused."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from saga.files import write_json
from saga.settings.typed import plain_values
from saga.studies.cell import Job
from saga.studies.cells import Cell
from saga.studies.store import JOB, PROGRESS, CellStore

Report = Callable[[int, int, str], None]
"""report(done, total, note) with done and total in hundredths of the whole work"""
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
PROGRAM = (sys.executable, "-m", "saga.studies.cell")
POLL_SECONDS = 0.2
PATIENCE_SECONDS = 10.0
"""How long an interrupted cell may take to stop before it is killed."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A cell that could not be made."""

    cell: Cell
    code: int
    """Exit code of its process."""
    log: Path
    reason: str
    """The log's last line."""


@dataclass
class _Running:
    cell: Cell
    process: "subprocess.Popen[bytes]"
    log: IO[bytes]

    def stop(self, number: int) -> None:
        """Signal the process and all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


@dataclass
class Runner:
    """Makes the cells that a store lacks."""

    store: CellStore
    data: Path
    """Cache of drawn datasets, shared by all cells."""
    git: dict[str, Any]
    """Commit and state of the code, recorded in each cell."""
    jobs: int = 2
    report: Report = lambda done, total, note: None
    after: Callable[[Cell], None] = lambda cell: None
    """Called with every cell that was made, once it is whole."""
    program: tuple[str, ...] = PROGRAM
    """Makes one cell; called with the file of its job."""
    _running: list[_Running] = field(default_factory=list)

    def run(self, cells: Iterable[Cell], again: bool = False) -> list[Failure]:
        """Make all cells; returns those that failed.

        Args:
            cells: cells of equal settings are made once.
            again: make them also where they are whole.
        """
        cells = list({cell.folder: cell for cell in cells}.values())
        waiting = [cell for cell in cells if again or not self.store.has(cell)]
        total, reused = waiting.copy(), len(cells) - len(waiting)
        failures: list[Failure] = []
        try:
            while waiting or self._running:
                while waiting and len(self._running) < self.jobs:
                    self._running.append(self._start(waiting.pop(0), again))
                time.sleep(POLL_SECONDS)
                failures += self._collect()
                self._tell(total, waiting, reused, failures)
        finally:
            self._stop_all()
        return failures

    def _start(self, cell: Cell, again: bool) -> _Running:
        work, log = self.store.work(cell), self.store.log(cell)
        job = Job(
            name=cell.name,
            arm=cell.arm,
            key=cell.key,
            config=plain_values(cell.config),
            folder=str(self.store.folder(cell).absolute()),
            work=str(work.absolute()),
            data=str(self.data.absolute()),
            git=self.git,
            again=again,
        )
        write_json(work / JOB, asdict(job))
        (work / PROGRESS).unlink(missing_ok=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        stream = open(log, "wb")  # noqa: SIM115 - open for as long as the process runs
        process = subprocess.Popen(
            [*self.program, str(work / JOB)],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=os.environ | ONE_THREAD,
            # A group of its own: Ctrl-C reaches this process alone, which then stops the whole group.
            start_new_session=True,
        )
        return _Running(cell, process, stream)

    def _collect(self) -> list[Failure]:
        """Take leave of the processes that have ended."""
        failures = []
        for running in list(self._running):
            code = running.process.poll()
            if code is None:
                continue
            running.log.close()
            self._running.remove(running)
            cell = running.cell
            if code == 0 and self.store.has(cell):
                self.store.discard_work(cell)
                self.after(cell)
            else:
                log = self.store.log(cell)
                failures.append(Failure(cell, code, log, _reason(log, code)))
        return failures

    def _stop_all(self) -> None:
        for running in self._running:
            running.stop(signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE_SECONDS
        for running in self._running:
            try:
                running.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                running.stop(signal.SIGKILL)
                running.process.wait()
            running.log.close()
        self._running.clear()

    def _tell(
        self, total: list[Cell], waiting: list[Cell], reused: int, failures: list[Failure]
    ) -> None:
        work = sum(cell.cost for cell in total)
        left = sum(cell.cost for cell in waiting)
        at = []
        for running in self._running:
            what, share, words = self._progress(running.cell)
            left += running.cell.cost * (1 - share)
            at.append(f"{running.cell.name} {what} {words}".rstrip())
        ended = len(total) - len(waiting) - len(self._running)
        notes = [f"{ended} of {len(total)} cells"]
        notes += [f"{reused} reused"] if reused else []
        notes += [f"{len(failures)} failed"] if failures else []
        # Never all of it before the last process has ended.
        done = min(round(100 * (1 - left / work)), 99) if self._running or waiting else 100
        self.report(done, 100, "; ".join([*notes, *at]))

    def _progress(self, cell: Cell) -> tuple[str, float, str]:
        """What a cell is doing, the share that is done, and its count."""
        try:
            what, done, total = json.loads((self.store.work(cell) / PROGRESS).read_text())
        except (OSError, ValueError):
            return "starts", 0.0, ""
        share = {"train": 0.05 + 0.9 * done / total, "evaluate": 0.95}.get(what, 0.02)
        return what, share, f"{done}/{total}"


def _reason(log: Path, code: int) -> str:
    """The log's last line; where there is none, how the process ended."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        lines = []
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return lines[-1][:300] if lines else f"{how}, without a word"
