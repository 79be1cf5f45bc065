"""Who used an encoder: ZenML cannot be asked that, so all later steps are walked once.

An encoder is known by its bytes: a copy that another run registered counts. What `saga embed`,
`search` and `export` do leaves no trace in the database.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pipelines.registry import PAGE, client

if TYPE_CHECKING:
    from zenml.models import ArtifactVersionResponse, StepRunResponse


def consumers(encoder: "ArtifactVersionResponse") -> list[dict[str, Any]]:
    """Runs whose steps took an encoder as an input, oldest first.

    Returns:
        run (its id), status, started, model and version that the run registered, steps.
    """
    used: dict[Any, list[str]] = {}
    for step in _steps_since(encoder):
        taken = (version for versions in step.inputs.values() for version in versions)
        if any(_same(version, encoder) for version in taken):
            used.setdefault(step.pipeline_run_id, []).append(step.name)
    return [_described(run_id, steps) for run_id, steps in used.items()]


def _steps_since(encoder: "ArtifactVersionResponse") -> "Iterator[StepRunResponse]":
    """Every step that started after the encoder was made, in order."""
    since = f"gte:{encoder.created.isoformat(sep=' ', timespec='seconds')}"
    page = 1
    while True:
        found = client().list_run_steps(
            sort_by="asc:created", created=since, page=page, size=PAGE, hydrate=True
        )
        yield from found.items
        if page >= found.total_pages:
            return
        page += 1


def _same(one: "ArtifactVersionResponse", other: "ArtifactVersionResponse") -> bool:
    same_bytes = one.content_hash is not None and one.content_hash == other.content_hash
    return bool(one.id == other.id or (same_bytes and one.data_type == other.data_type))


def _described(run_id: Any, steps: list[str]) -> dict[str, Any]:
    run = client().get_pipeline_run(run_id)
    version = run.model_version
    return {
        "run": run.name,
        "pipeline": run.pipeline.name if run.pipeline else None,
        "status": str(run.status),
        "started": moment(run.start_time),
        "model": version.model.name if version else None,
        "version": version.number if version else None,
        "steps": steps,
    }


def moment(at: Any) -> str | None:
    """A time of the database, UTC, as ISO 8601 to the second."""
    return None if at is None else at.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
