"""One process at a time at the promotions of a model, and what a killed one left is settled first.

A promotion writes "begun", sets the stage in one transaction of the database, and writes "done".
Killed before the stage was set, it is abandoned: production is what it was. Killed after, it is
finished.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from pipelines.home import home
from pipelines.promotion.audit import Audit
from pipelines.promotion.standing import leave_one
from pipelines.registry import in_stage
from saga.errors import UserInputError

if TYPE_CHECKING:
    from zenml.models import ModelResponse

PATIENCE_SECONDS = 600


@contextmanager
def opened(model: "ModelResponse") -> Iterator[Audit]:
    """The audit of a model, checked, settled and locked for as long as the block runs.

    Raises:
        RefusedError: if the audit was altered.
        UserInputError: if another process holds the lock for too long.
    """
    with _locked(model.id):
        audit = Audit(model)
        audit.shelf.sweep()
        settle(audit)
        yield audit


def settle(audit: Audit) -> None:
    """Finish or abandon what a killed process began."""
    for last in audit.records()[-1:]:
        move = last.move
        if last.phase == "begun":
            there = [version.number for version in in_stage(audit.model, move.stage)]
            if move.to_version in there:
                leave_one(audit.model, move.to_version, move.stage)
                audit.append(move, "done", "finished after its process was stopped")
            else:
                audit.append(move, "abandoned", "its process was stopped before the stage was set")
        audit.note_in_database()


@contextmanager
def _locked(model_id: Any) -> Iterator[None]:
    locks = home() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    lock = FileLock(locks / f"promotion-{model_id}.lock", timeout=PATIENCE_SECONDS)
    try:
        lock.acquire()
    except Timeout as error:
        raise UserInputError(
            f"Another process has been promoting this model for {PATIENCE_SECONDS // 60} minutes "
            f"({lock.lock_file}). Wait for it to end, or stop it, and run the command again."
        ) from error
    try:
        yield
    finally:
        lock.release()
