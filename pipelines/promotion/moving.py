"""What promotion and rollback share: one version takes a stage, and the audit says so."""

import getpass
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.promotion.audit import Audit
from pipelines.promotion.records import Move, Record
from pipelines.promotion.standing import leave_one

if TYPE_CHECKING:
    from zenml.models import ModelVersionResponse

Step = Callable[[str], None]
"""Called with the name of each step that was done; tests stop the process there."""
STEPS = ("locked", "begun", "staged", "repaired", "done", "noted")


@dataclass(frozen=True, slots=True)
class Moved:
    """A version that is in a stage now."""

    record: Record
    """That says so; an earlier one where it was there already."""
    already: bool
    embedding_dim: int
    """Width E of its vectors."""
    previous_dim: int | None
    """Of the version that it replaced."""

    @property
    def reindex(self) -> bool:
        """Whether stored vectors come from another encoder."""
        return not self.already and self.record.move.from_digest != self.record.move.to_digest

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for machines."""
        return {
            "already": self.already,
            "record": self.record.to_dict(),
            "embedding_dim": self.embedding_dim,
            "previous_embedding_dim": self.previous_dim,
            "reindex_gallery": self.reindex,
        }


def unwatched(step: str) -> None:
    """Nothing happens between the steps."""


def make(audit: Audit, version: "ModelVersionResponse", move: Move, at: Step) -> Record:
    """Do a move whose evidence was checked, under the lock.

    Returns:
        The record that says it was done.

    Raises:
        SagaError: if something else sets the stage at the same time; the next command settles it.
    """
    at("locked")
    audit.append(move, "begun")
    at("begun")
    version.set_stage(move.stage, force=True)  # one transaction archives what was there
    at("staged")
    leave_one(audit.model, move.to_version, move.stage)
    at("repaired")
    done = audit.append(move, "done")
    at("done")
    audit.note_in_database()
    at("noted")
    return done


def actor() -> str:
    """Who does it: user@host, or whoever SAGA_ACTOR says."""
    given = os.environ.get("SAGA_ACTOR", "").strip()
    if given:
        return given
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
