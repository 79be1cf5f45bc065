"""One line of the audit: a promotion or rollback that began, was done, or was abandoned.

A record holds the digest of the one before it, and its own digest of everything else in it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from saga.files import digest_of

FIRST = ""
"""What the first record holds as the digest of the one before."""
ACTIONS = ("promote", "rollback")
PHASES = ("begun", "done", "abandoned")


@dataclass(frozen=True, slots=True)
class Move:
    """What somebody does: one version takes a stage, on some evidence."""

    who: str
    """user@host, or SAGA_ACTOR."""
    action: str
    """"promote" or "rollback"."""
    model: str
    stage: str
    from_version: int | None
    """In that stage before; None where nothing was."""
    to_version: int
    from_digest: str | None
    """Of the encoder before."""
    to_digest: str
    """Of the encoder after."""
    evidence: Mapping[str, Any]
    """Of a promotion: digests of the decision and of what it judged. Of a rollback: `record`, the
    number of the record by which that version was live."""
    git_commit: str
    git_dirty: bool | None
    reason: str
    """In the words of whoever does it."""


@dataclass(frozen=True, slots=True)
class Record:
    """A phase of a move, in its place in the chain."""

    number: int
    """From 1 on, without gaps."""
    previous: str
    """Digest of the record before."""
    at: str
    """UTC, ISO 8601."""
    phase: str
    """"begun", "done" or "abandoned"."""
    move: Move
    note: str = ""
    """What was particular, in words."""

    @property
    def digest(self) -> str:
        """Of everything in the record."""
        return digest_of(self._facts())

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with the digest."""
        return self._facts() | {"digest": self.digest}

    def text(self) -> str:
        """The file's content; there is one way only to write a record."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def from_text(cls, text: str) -> "Record":
        """Read a file's content.

        Raises:
            ValueError: if it is not, byte for byte, what `text` gives.
        """
        try:
            facts = json.loads(text)
            move = {field.name: facts.pop(field.name) for field in fields(Move)}
            facts.pop("digest")
            record = cls(move=Move(**move), **facts)
            same = record.text() == text
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError("it is not a record") from error
        if not same or record.phase not in PHASES or record.move.action not in ACTIONS:
            raise ValueError("its content is not what its digest says")
        return record

    def _facts(self) -> dict[str, Any]:
        facts = asdict(self)
        return facts | facts.pop("move")
