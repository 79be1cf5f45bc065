"""Where cells are kept: a folder each, named by what decides its figures, shared by all studies.

Below one root:

<cell>/            cell.json, report/, history/, encoder/
logs/<cell>.log    what its process said
work/<cell>/       checkpoints and progress, until it is whole
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saga.errors import UserInputError
from saga.retrieval.report import RetrievalReport
from saga.studies.cells import Cell

FACTS, REPORT, HISTORY, ENCODER = "cell.json", "report", "history", "encoder"
JOB, PROGRESS = "job.json", "progress.json"


@dataclass(frozen=True, slots=True)
class CellStore:
    """Folders of cells below one root."""

    root: Path

    def folder(self, cell: Cell) -> Path:
        """Of a cell that is whole."""
        return self.root / cell.folder

    def log(self, cell: Cell) -> Path:
        """What its process said."""
        return self.root / "logs" / f"{cell.folder}.log"

    def work(self, cell: Cell) -> Path:
        """Checkpoints and progress of a cell that is not whole yet."""
        return self.root / "work" / cell.folder

    def has(self, cell: Cell) -> bool:
        """Whether the cell is whole and of the same settings."""
        return is_whole(self.folder(cell), cell.key)

    def facts(self, cell: Cell) -> dict[str, Any]:
        """What cell.json holds.

        Raises:
            UserInputError: if the cell is not whole.
        """
        facts = read_cell(self.folder(cell))
        if facts is None or facts.get("key") != cell.key:
            raise UserInputError(f"The cell {cell.name} in {self.folder(cell)} is not whole.")
        return facts

    def report(self, cell: Cell) -> RetrievalReport:
        """Every query's outcome.

        Raises:
            UserInputError: if it is missing, was altered, or is not the one that cell.json names.
        """
        report = RetrievalReport.load(self.folder(cell) / REPORT)
        if report.digest != self.facts(cell)["report_digest"]:
            raise UserInputError(
                f"The report in {self.folder(cell)} is not the one that its cell.json names. Delete "
                "the folder; the cell is made again."
            )
        return report

    def discard_work(self, cell: Cell) -> None:
        """Delete the checkpoints of a cell that is whole."""
        shutil.rmtree(self.work(cell), ignore_errors=True)


def is_whole(folder: Path, key: str) -> bool:
    """Whether a folder holds a cell of these settings; it takes its name only when it is whole."""
    facts = read_cell(folder)
    return facts is not None and facts.get("key") == key


def read_cell(folder: Path) -> dict[str, Any] | None:
    """A folder's cell.json, or None where there is none that can be read."""
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) else None
