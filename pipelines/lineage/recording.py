"""What a run writes down for its lineage, as ZenML metadata, beside what ZenML keeps by itself.

    record_step_facts()                             in a step: the machine that it ran on
    record_run_facts(run_id, command, folder)       after a run, when its folder is written

A step's own facts count before those of the run: on a cluster the steps run elsewhere. The digests of
all files cover what an artifact's own digest does not: its page, pictures, model card. The record holds
a digest of itself, so that a careless change in the database is seen.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pipelines.environment import environment, hardware
from pipelines.lineage.digests import stored_digests
from pipelines.registry import client
from saga.files import digest_of, file_digests

if TYPE_CHECKING:
    from zenml.models import ArtifactVersionResponse

STEP_FACTS, RUN_FACTS, FILES = "saga_step", "saga_run", "saga_files"
"""Names of the metadata: of a step, of a run, of an artifact."""


def record_step_facts() -> None:
    """Log code, versions and hardware for the step that runs; outside a step, nothing."""
    from zenml import get_step_context, log_metadata

    try:
        step: UUID = get_step_context().step_run.id
    except RuntimeError:
        return
    log_metadata(metadata={STEP_FACTS: sealed(_machine())}, step_id=step)


def record_run_facts(run_id: str, command: str = "", folder: Path | None = None) -> dict[str, Any]:
    """Log what a run was and what it left.

    Args:
        run_id: its name.
        command: that repeats it.
        folder: runs/<run id>, written; None leaves its files out.

    Returns:
        What was logged for the run.
    """
    from zenml import log_metadata

    run = client().get_pipeline_run(run_id)
    outputs = [out for step in run.steps.values() for out in _outputs(step)]
    # The files of a reused artifact are its own run's to record.
    stored = {o.id: stored_digests(o) for o in outputs if o.producer_pipeline_run_id == run.id}
    facts = _machine() | {
        "command": command,
        "settings": digest_of((run.config.parameters or {}).get("run")),
        "artifacts": {_key(out): _digest(out) for out in outputs},
        "stored": {_key(out): digest_of(stored[out.id]) for out in outputs if out.id in stored},
        "files": file_digests(folder) if folder is not None and folder.is_dir() else {},
    }
    for artifact_id, files in stored.items():
        log_metadata(metadata={FILES: files}, artifact_version_id=artifact_id)
    log_metadata(metadata={RUN_FACTS: sealed(facts)}, run_id_name_or_prefix=run.id)
    return facts


def sealed(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts with their digest."""
    return facts | {"digest": digest_of(facts)}


def seal_holds(facts: dict[str, Any]) -> bool:
    """Whether facts are what was sealed."""
    content = {name: value for name, value in facts.items() if name != "digest"}
    return bool(digest_of(content) == facts.get("digest"))


def _machine() -> dict[str, Any]:
    return {"environment": environment(), "hardware": hardware()}


def _outputs(step: Any) -> "list[ArtifactVersionResponse]":
    return [version for versions in step.outputs.values() for version in versions]


def _key(artifact: "ArtifactVersionResponse") -> str:
    return f"{artifact.name}:{artifact.version}"


def _digest(artifact: "ArtifactVersionResponse") -> str:
    return str(artifact.run_metadata.get("digest") or artifact.content_hash)
