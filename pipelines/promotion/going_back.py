"""Rollback: production goes back to a version that the audit says was there before."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.environment import git_state
from pipelines.promotion.audit import Audit
from pipelines.promotion.moving import Moved, Step, actor, make, unwatched
from pipelines.promotion.opening import opened
from pipelines.promotion.records import Move, Record
from pipelines.promotion.standing import Lived, holders, lives, way_back
from pipelines.registry import (
    CANDIDATE,
    PRODUCTION,
    described,
    existing_model,
    fetched,
    in_stage,
    model_version,
)
from saga.errors import RefusedError, UserInputError

if TYPE_CHECKING:
    from zenml.models import ModelVersionResponse


def rollback(model: str, to: int | None = None, *, reason: str = "", at: Step = unwatched) -> Moved:
    """Put production back to an earlier version, whose bytes are checked first.

    Args:
        model: its name.
        to: a version that was in production before; else the one before the present.
        reason: for the audit, in words.
        at: called after each step.

    Raises:
        UserInputError: if there is no such model.
        RefusedError: if no such version was in production before, or it was altered since.
    """
    found = existing_model(model)
    with opened(found) as audit:
        records = audit.records()
        there = in_stage(found, PRODUCTION)
        target = _target(audit, records, [v.number for v in there], to)
        version = _version(audit, target)
        width = _checked(version, target)
        held = holders(records).get(PRODUCTION)
        numbers = {v.number for v in there} | ({held.move.to_version} if held else set())
        if held is not None and there and numbers == {target.version}:
            return Moved(held, True, width, None)
        left = next((v for v in there if v.number != target.version), None)
        before = None if left is None else described(left)
        move = Move(
            who=actor(),
            action="rollback",
            model=found.name,
            stage=PRODUCTION,
            from_version=None if left is None else left.number,
            to_version=target.version,
            from_digest=before.digest if before else None,
            to_digest=target.digest,
            evidence={"record": target.record},
            reason=reason,
            **git_state(),
        )
        width_before = before.embedding_dim if before else None
        return Moved(make(audit, version, move, at), False, width, width_before)


def _target(audit: Audit, records: Sequence[Record], there: Sequence[int], to: int | None) -> Lived:
    """Where to go.

    Raises:
        RefusedError: if the audit does not say so.
    """
    name, lived = audit.model.name, lives(records)
    if to is not None:
        for life in reversed(lived):
            if life.version == to:
                return life
        versions = ", ".join(sorted({str(life.version) for life in lived}, key=int)) or "none"
        raise RefusedError(
            f"{name}:{to} was never in production by the audit. Versions that were: {versions}."
        )
    back = way_back(records)
    if back and list(there) != [back[-1].version]:
        raise RefusedError(
            f"{name}: by the audit version {back[-1].version} is in production, by the database "
            f"{' and '.join(map(str, there)) or 'nothing'}: it is not clear what to go back from. "
            "Name the version with --to."
        )
    if len(back) < 2:
        raise RefusedError(f"{name}: by the audit no version was in production before.")
    return back[-2]


def _version(audit: Audit, target: Lived) -> "ModelVersionResponse":
    try:
        return model_version(audit.model, str(target.version))
    except UserInputError as error:
        raise RefusedError(f"There is nothing to go back to. {error}") from error


def _checked(version: "ModelVersionResponse", target: Lived) -> int:
    """The width of the encoder, whose bytes are those that were in production then.

    Raises:
        RefusedError: if they are not.
    """
    from saga.encoders.retriever import Retriever

    name = f"{version.model.name}:{version.number}"
    artifact = version.get_artifact(CANDIDATE)
    if artifact is None:
        raise RefusedError(f"{name} holds no encoder any more. Production was not changed.")
    try:
        with fetched(artifact) as folder:
            encoder = Retriever.load(folder)
    except (UserInputError, OSError) as error:
        raise RefusedError(f"{name}: {error} Production was not changed.") from error
    if encoder.digest != target.digest:
        raise RefusedError(
            f"The encoder of {name} is not the one that was in production: its digest is "
            f"{encoder.digest[:12]}, by record {target.record} it was {target.digest[:12]}. "
            "Production was not changed."
        )
    return encoder.embedding_dim
