"""Promotion: a version takes a stage if, and only if, its evidence is about it and about now."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.environment import git_state
from pipelines.promotion.audit import Audit
from pipelines.promotion.evidence import Gathered, gather, outdated
from pipelines.promotion.moving import Moved, Step, actor, make, unwatched
from pipelines.promotion.opening import opened
from pipelines.promotion.records import Move, Record
from pipelines.promotion.standing import holders
from pipelines.registry import PRODUCTION, STAGING, Live, existing_model, in_stage, live
from pipelines.registry import model_version as find_version
from saga.errors import RefusedError

if TYPE_CHECKING:
    from zenml.models import ModelVersionResponse

    from saga.gates.policy import GatePolicy


def promote(
    model: str,
    version: str,
    stage: str,
    policy: "GatePolicy",
    policy_file: Path,
    *,
    reason: str = "",
    at: Step = unwatched,
) -> Moved:
    """Put a version into a stage, on the evidence that it holds.

    Args:
        model: its name.
        version: number, or staging, latest.
        stage: "staging" or "production".
        policy: the gates as their file says now.
        policy_file: that file.
        reason: for the audit, in words.
        at: called after each step.

    Raises:
        UserInputError: if there is no such model or version.
        RefusedError: with every reason why not.
    """
    found = existing_model(model)
    candidate = find_version(found, version)
    gathered = gather(candidate, policy, policy_file)
    with opened(found) as audit:
        return _promote(audit, candidate, stage, gathered, reason, at)


def _promote(
    audit: Audit,
    candidate: "ModelVersionResponse",
    stage: str,
    gathered: Gathered,
    reason: str,
    at: Step,
) -> Moved:
    records = audit.records()
    now = _production(audit, records)
    before = now if stage == PRODUCTION else _holder(audit, stage)
    held = holders(records).get(stage)
    if _there_already(held, before, candidate.number, gathered):
        assert held is not None
        return Moved(held, True, gathered.embedding_dim, None)
    reasons = list(gathered.reasons)
    if gathered.evidence is not None and (old := outdated(gathered.evidence, now)):
        reasons.append(old)
    if stage == STAGING and now is not None and now.version == candidate.number:
        reasons.append(
            "It is in production, and a version has one stage only: staging would take it out of "
            "production."
        )
    if reasons or gathered.evidence is None:
        raise RefusedError(
            f"{audit.model.name}:{candidate.number} is not promoted to {stage}:\n"
            + "\n".join(f"- {why}" for why in reasons)
        )
    move = Move(
        who=actor(),
        action="promote",
        model=audit.model.name,
        stage=stage,
        from_version=before.version if before else None,
        to_version=candidate.number,
        from_digest=before.digest if before else None,
        to_digest=gathered.encoder_digest,
        evidence=gathered.evidence.to_dict(),
        reason=reason,
        **git_state(),
    )
    record = make(audit, candidate, move, at)
    return Moved(record, False, gathered.embedding_dim, before.embedding_dim if before else None)


def _production(audit: Audit, records: list[Record]) -> Live | None:
    """What is in production, by database and audit.

    Raises:
        RefusedError: if the audit knows another version there than the database.
    """
    expected = holders(records).get(PRODUCTION)
    there = [version.number for version in in_stage(audit.model, PRODUCTION)]
    if expected is not None and there != [expected.move.to_version]:
        name, version = audit.model.name, expected.move.to_version
        raise RefusedError(
            f"{name}: by the audit version {version} is in production, by the database "
            f"{' and '.join(map(str, there)) or 'nothing'}. Somebody set the stage by other means. "
            f"`saga rollback {name} --to {version}` puts it right, and records that."
        )
    return live(audit.model, PRODUCTION)


def _holder(audit: Audit, stage: str) -> Live | None:
    """What is in staging; the first of several, which this promotion archives."""
    there = in_stage(audit.model, stage)
    return live(audit.model, stage) if len(there) < 2 else None


def _there_already(
    held: Record | None, before: Live | None, version: int, gathered: Gathered
) -> bool:
    """Whether the stage holds this version on this evidence."""
    return (
        held is not None
        and before is not None
        and held.move.to_version == before.version == version
        and gathered.evidence is not None
        and not gathered.reasons
        and held.move.evidence == gathered.evidence.to_dict()
    )
