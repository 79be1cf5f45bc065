"""The TrainJob of a step, in its lineage."""

from typing import Any

from pipelines.lineage.recording import sealed

TRAIN_JOB = "saga_train_job"
"""Name of the metadata of a step."""


def record(facts: dict[str, Any]) -> None:
    """Log a TrainJob for the step that runs; outside a step, nothing.

    Args:
        facts: name, uid, size and duration.
    """
    from zenml import get_step_context, log_metadata

    try:
        step = get_step_context().step_run.id
    except RuntimeError:
        return
    log_metadata(metadata={TRAIN_JOB: sealed(facts)}, step_id=step)
