"""Puts a schedule's pipeline on a Kubernetes stack, frozen to this code, these settings, this image."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pipelines.provenance import code_digest
from pipelines.schedules.commands import MonitorInputs, RunInputs, inputs
from pipelines.schedules.configuration import ScheduleConfig
from pipelines.stacks.configuration import KubernetesStack
from saga.errors import UserInputError
from saga.files import digest_of

if TYPE_CHECKING:
    from zenml.pipelines.pipeline_definition import Pipeline

CODE = ("saga", "steps", "pipelines", "materializers")
"""Folders whose modules decide what a scheduled run does."""


@dataclass(frozen=True)
class PipelineSubmission:
    """A pipeline with its arguments, to be run by a schedule."""

    stack: KubernetesStack
    schedule: ScheduleConfig
    pipeline: "Pipeline"
    arguments: Sequence[Any]
    options: dict[str, Any]
    """Further options of the pipeline."""
    facts: dict[str, Any]
    """The arguments as plain values."""

    @property
    def digest(self) -> str:
        """Of everything that the CronJob is frozen to."""
        return digest_of(
            {
                "pipeline": self.pipeline.name,
                "arguments": self.facts,
                "stack": asdict(self.stack),
                "code": code_digest(CODE),
            }
        )

    def submit(self, name: str, cron: str) -> None:
        """Make ZenML's schedule, and with it the CronJob.

        Raises:
            UserInputError: if the image cannot be had, or holds another version of saga.
        """
        from zenml.config.schedule import Schedule

        from pipelines.stacks.checks.all import require_image
        from pipelines.stacks.components import active
        from pipelines.stacks.pools import placed

        require_image(self.stack, self.schedule.stack)
        settings = {"orchestrator.kubernetes": schedule_settings(self.schedule)}
        with active(self.stack):
            ready = placed(self.pipeline, self.stack, self.arguments).with_options(
                run_name=f"{name}-{{date}}-{{time}}",
                schedule=Schedule(name=name, cron_expression=cron),
                settings=settings,
                **self.options,
            )
            ready(*self.arguments)


def schedule_settings(schedule: ScheduleConfig) -> dict[str, Any]:
    """What the orchestrator writes into the CronJob."""
    return {
        "job_name_prefix": schedule.name,
        "concurrency_policy": schedule.overlap,
        "starting_deadline_seconds": schedule.starting_deadline_seconds,
        "successful_jobs_history_limit": schedule.history.successful,
        "failed_jobs_history_limit": schedule.history.failed,
    }


def prepare(stack: KubernetesStack, schedule: ScheduleConfig) -> PipelineSubmission:
    """What a schedule runs, checked.

    Raises:
        UserInputError: if its files are wrong, or pods could not read what it names.
    """
    given = inputs(schedule)
    if isinstance(given, RunInputs):
        return _run(stack, schedule, given)
    return _monitor(stack, schedule, given)


def _run(stack: KubernetesStack, schedule: ScheduleConfig, given: RunInputs) -> PipelineSubmission:
    from zenml import Model

    from pipelines.provenance import bound_digests
    from pipelines.stacks.inputs import check_run
    from pipelines.train_and_judge import train_and_judge

    check_run(given.config, stack, schedule.stack)
    bound = bound_digests(given.config.supervisor)
    facts = {
        "run": given.config.as_dict(),
        "gates": given.gates,
        "drift": given.drift,
        "bound": bound,
    }
    arguments = (given.config, given.gates, given.drift, bound)
    options = {"model": Model(name=given.config.model)}
    return PipelineSubmission(stack, schedule, train_and_judge, arguments, options, facts)


def _monitor(
    stack: KubernetesStack, schedule: ScheduleConfig, given: MonitorInputs
) -> PipelineSubmission:
    from pipelines.monitor_queries import monitor_queries

    command = given.command
    for name in ("queries", "labels"):
        path = getattr(command, name)
        if path is not None and not any(volume.holds(path) for volume in stack.mounts):
            raise UserInputError(
                f"The schedule {schedule.name}: what.monitor.{name}: {path} is in none of the volumes "
                f"that pods see ({', '.join(v.mount_path for v in stack.mounts)}). Give a path in one."
            )
    arguments: tuple[Any, ...] = (
        given.model,
        given.version,
        command.queries,
        command.labels,
        command.gallery,
        given.policy.to_dict(),
        given.policy.images,
        "auto",
        code_digest(),
    )
    facts = {"command": asdict(command), "policy": given.policy.to_dict()}
    return PipelineSubmission(stack, schedule, monitor_queries, arguments, {}, facts)
