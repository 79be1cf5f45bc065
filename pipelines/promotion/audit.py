"""The audit of a model: numbered records in a chain, one file each, kept with the artifacts.

Whoever alters, removes or reorders a record breaks the chain. Whoever makes the whole chain anew,
or cuts its end off, is found too: the database keeps, at each version that was moved, the number
and digest of its last record. `pipelines.promotion.standing` compares the rest of the database.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipelines.promotion.records import FIRST, Move, Record
from pipelines.promotion.shelf import Shelf
from pipelines.registry import PAGE, client, existing_model
from saga.errors import RefusedError

if TYPE_CHECKING:
    from zenml.models import ModelResponse

SUBJECT = "promotions"
NOTED = "promotion_record"
"""Metadata of a model version: "number:digest" of the last record about it."""


def read_audit(model: str) -> list[Record]:
    """Every record of a model, oldest first, checked.

    Raises:
        UserInputError: if there is no such model.
        RefusedError: naming the first record that was altered, removed or put elsewhere.
    """
    return Audit(existing_model(model)).records()


@dataclass(frozen=True, slots=True)
class Reading:
    """What the audit holds."""

    records: tuple[Record, ...]
    """Those before the first that is wrong; all where none is."""
    problem: str = ""
    """Which one is wrong, and how."""


class Audit:
    """The records of one model. To be written by one process at a time."""

    def __init__(self, model: "ModelResponse", shelf: Shelf | None = None):
        """Args: the model; where its records lie, else the active artifact store."""
        self.model = model
        self.shelf = shelf or Shelf(SUBJECT, model.id)
        self._checked: list[Record] | None = None

    def records(self) -> list[Record]:
        """All, oldest first, checked once.

        Raises:
            RefusedError: naming the first that is wrong.
        """
        if self._checked is not None:
            return list(self._checked)
        reading = self.examine()
        if reading.problem:
            raise RefusedError(
                f"The audit of {self.model.name} was altered: {reading.problem} Nothing is "
                f"promoted or rolled back on it. Put {self.shelf.folder} back from a backup."
            )
        self._checked = list(reading.records)
        return list(self._checked)

    def examine(self) -> Reading:
        """All records that can be trusted, and what is wrong with the next one."""
        records: list[Record] = []
        for position, name in enumerate(self.shelf.names(), 1):
            problem = ""
            try:
                record = Record.from_text(self.shelf.read(name))
                problem = _misplaced(record, name, position, records)
            except (ValueError, OSError) as error:
                problem = f"record {name}: {error}."
            if problem:
                return Reading(tuple(records), problem)
            records.append(record)
        return Reading(tuple(records), self._forged(records))

    def append(self, move: Move, phase: str, note: str = "") -> Record:
        """Add a record at the end of the chain.

        Raises:
            RefusedError: if the chain is broken.
        """
        records = self.records()
        last = records[-1:]
        record = Record(
            number=last[0].number + 1 if last else 1,
            previous=last[0].digest if last else FIRST,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            phase=phase,
            move=replace(move, evidence=dict(move.evidence)),
            note=note,
        )
        self.shelf.write(file_name(record.number), record.text())
        self._checked = [*records, record]
        return record

    def note_in_database(self) -> None:
        """Let the database know the last record, unless it does already or its version is gone."""
        from zenml import log_metadata

        for last in self.records()[-1:]:
            page = client().list_model_versions(
                model=self.model.id, number=last.move.to_version, size=1, hydrate=True
            )
            for version in page.items:
                if version.run_metadata.get(NOTED) != _noted(last):
                    log_metadata(metadata={NOTED: _noted(last)}, model_version_id=version.id)

    def _forged(self, records: Sequence[Record]) -> str:
        """What the database's notes say against a chain that is whole in itself."""
        for note in self._notes():
            number, _, digest = note.partition(":")
            if int(number) > len(records):
                return (
                    f"it ends with record {len(records)}, "
                    f"and the database knows of record {number}."
                )
            if records[int(number) - 1].digest != digest:
                return f"record {number}, or one before it, is not the one that the database knows."
        return ""

    def _notes(self) -> list[str]:
        """By number, lowest first."""
        notes: list[str] = []
        page = 1
        while True:
            found = client().list_model_versions(
                model=self.model.id, page=page, size=PAGE, hydrate=True
            )
            notes += [str(v.run_metadata[NOTED]) for v in found.items if NOTED in v.run_metadata]
            if page >= found.total_pages:
                return sorted(notes, key=lambda note: int(note.partition(":")[0]))
            page += 1


def file_name(number: int) -> str:
    """Of a record."""
    return f"{number:08d}.json"


def _noted(record: Record) -> str:
    return f"{record.number}:{record.digest}"


def _misplaced(record: Record, name: str, position: int, before: Sequence[Record]) -> str:
    """What is wrong with a record's place, or nothing."""
    if name != file_name(position):
        return f"record {file_name(position)} is missing; {name} is in its place."
    if record.number != position:
        return f"record {name} holds the record number {record.number}."
    previous: Any = before[-1].digest if before else FIRST
    if record.previous != previous:
        return f"record {name} does not follow the one before it."
    return ""
