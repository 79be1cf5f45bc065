"""Runs the main pipeline and fetches what came of it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.configuration import RunConfig
from pipelines.stacks.configuration import KubernetesStack, StackConfig

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse


@dataclass(frozen=True)
class Outcome:
    """One pipeline run, done or failed."""

    run: "PipelineRunResponse"
    error: BaseException | None = None
    """Why it failed."""


@dataclass(frozen=True)
class Policies:
    """What a candidate is held to, as plain values."""

    gates: dict[str, Any]
    drift: dict[str, Any]


def execute(
    config: RunConfig,
    run_id: str,
    policies: Policies,
    bound: dict[str, str],
    stack: StackConfig | None = None,
) -> Outcome:
    """Run the pipeline; a step that fails is told in the outcome, an interrupt is raised.

    Args:
        config: the resolved configuration.
        run_id: its name.
        policies: what the candidate is held to.
        bound: digests of code, supervisor and prompt.
        stack: where it runs, active; None is this process.
    """
    from zenml import Model
    from zenml.client import Client

    from pipelines.train_and_judge import train_and_judge
    from steps import failures

    failures.forget()
    pipeline = train_and_judge.with_options(
        run_name=run_id, model=Model(name=config.model), on_failure=failures.remember
    )
    arguments = (config, policies.gates, policies.drift, bound)
    if isinstance(stack, KubernetesStack):
        from pipelines.stacks.running import run_on_cluster

        found, error = run_on_cluster(stack, pipeline, arguments)
        return Outcome(Client().get_pipeline_run(found), error)
    try:
        pipeline(*arguments)
    except Exception as error:
        cause = failures.last()
        if cause is None:
            raise
        cause.__cause__ = cause.__cause__ or error
        return Outcome(Client().get_pipeline_run(run_id), cause)
    return Outcome(Client().get_pipeline_run(run_id))


def artifact(run: "PipelineRunResponse", name: str) -> Any:
    """The response of a run's output, or None where no step made it."""
    for step in run.steps.values():
        for output, versions in step.outputs.items():
            if output == name and versions:
                return versions[0]
    return None


def load(run: "PipelineRunResponse", name: str) -> Any:
    """The value of a run's output, or None where no step made it."""
    found = artifact(run, name)
    return None if found is None else found.load()
