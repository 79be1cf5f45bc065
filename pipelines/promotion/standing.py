"""What is in each stage: by the audit, and in the database."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.promotion.records import Record
from pipelines.registry import ARCHIVED, PRODUCTION, STAGING, in_stage
from saga.errors import SagaError

if TYPE_CHECKING:
    from zenml.models import ModelResponse

JUDGED = (STAGING, PRODUCTION)


@dataclass(frozen=True, slots=True)
class Lived:
    """A version that was in production."""

    version: int
    digest: str
    """Of its encoder then."""
    record: int
    """Number of the record that says so."""


def holders(records: Iterable[Record]) -> dict[str, Record]:
    """By stage: the record that put the present version there. A version has one stage only."""
    found: dict[str, Record] = {}
    for record in _done(records):
        version = record.move.to_version
        found = {s: r for s, r in found.items() if r.move.to_version != version}
        found[record.move.stage] = record
    return found


def lives(records: Iterable[Record]) -> list[Lived]:
    """Every version that was in production, by time; the first may be older than the audit."""
    found: list[Lived] = []
    for record in _done(records):
        move = record.move
        if move.stage == PRODUCTION:
            if not found and move.from_version is not None:
                found.append(Lived(move.from_version, str(move.from_digest), record.number))
            found.append(Lived(move.to_version, move.to_digest, record.number))
    return found


def way_back(records: Sequence[Record]) -> list[Lived]:
    """The versions one would go back through, the present one last.

    A rollback cuts off what it left, so that a second one goes further back instead of forward to
    the version that was found bad.
    """
    actions = {record.number: record.move.action for record in records}
    found: list[Lived] = []
    for lived in lives(records):
        known = [i for i, other in enumerate(found) if other.version == lived.version]
        if actions[lived.record] == "rollback" and known:
            found = found[: known[-1] + 1]
        else:
            found.append(lived)
    return found


def disagreements(model: "ModelResponse", records: Sequence[Record]) -> list[str]:
    """Stages in which the database has something else than the audit, a sentence each."""
    expected = holders(records)
    found = []
    for stage in JUDGED:
        by_audit = [expected[stage].move.to_version] if stage in expected else []
        by_database = sorted(version.number for version in in_stage(model, stage))
        if by_audit != by_database:
            found.append(
                f"{stage}: the database says {_versions(by_database)}, the audit says "
                f"{_versions(by_audit)}. The stage was set by other means than `saga promote`, or "
                "records are missing."
            )
    return found


def leave_one(model: "ModelResponse", version: int, stage: str) -> None:
    """Archive every other version of a stage, one by one; then the stage holds exactly this one.

    Raises:
        SagaError: if it does not.
    """
    for other in in_stage(model, stage):
        if other.number != version:
            other.set_stage(ARCHIVED, force=True)  # archived counts as occupied, too
    left = [found.number for found in in_stage(model, stage)]
    if left != [version]:
        raise SagaError(
            f"{model.name}: {stage} should hold version {version} and holds {_versions(left)}; "
            "something else sets stages at the same time"
        )


def _done(records: Iterable[Record]) -> Iterable[Record]:
    return (record for record in records if record.phase == "done")


def _versions(numbers: Sequence[int]) -> str:
    return " and ".join(map(str, numbers)) or "nothing"
