"""Follows a run on a cluster to its end: how far it is, what its pods say, what they wait for.

    Follower(stack, cluster, run_id, steps).follow()

A cluster or server that does not answer for a while is waited for; the run goes on without us.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import typer

from pipelines.progress import reporter
from pipelines.stacks.checks.finding import found
from pipelines.stacks.cluster import Cluster
from pipelines.stacks.configuration import KubernetesStack
from pipelines.stacks.logs import Logs
from pipelines.stacks.objects import RUN, RunObjects, run_jobs, run_objects
from pipelines.stacks.waiting import ORCHESTRATOR, Waiting, finished, step_of, waiting_reasons
from saga.errors import UserInputError

FAULTS = (AttributeError, TypeError, NameError, AssertionError)
"""Errors of ours, not of a network."""
PATIENCE_SECONDS = 900.0
"""How long an unreachable cluster or server is waited for."""
HOPELESS_SECONDS = 45.0
"""How long an orchestrator's pod may wait for something that does not come."""
QUIET_REASONS = ("NoPod", "Starting")
"""What every pod waits for at first; told only when it lasts."""
LASTING_SECONDS = 30.0


def say(line: str) -> None:
    """A line for the user; above the progress bars, where there are some."""
    typer.echo(line, err=True)


@dataclass
class Follower:
    """Looks at one run, again and again."""

    stack: KubernetesStack
    """Where it runs."""
    cluster: Cluster
    """Connection to it."""
    run_id: str
    """ZenML's id of the run."""
    steps: int
    """How many there are."""
    tell: Callable[[str], None] = say
    """Takes a line for the user."""
    clock: Callable[[], float] = time.monotonic
    """Seconds."""
    sleep: Callable[[float], None] = time.sleep
    """Waits for seconds."""
    _told: dict[str, str] = field(default_factory=dict)
    _since: dict[tuple[str, str], float] = field(default_factory=dict)
    _silent_since: float | None = None
    _logs: Logs = field(init=False)

    def __post_init__(self) -> None:
        self._logs = Logs(self.cluster, self.run_id)

    @property
    def logs(self) -> Logs:
        """What the run's pods say."""
        return self._logs

    def follow(self) -> Any:
        """Wait for the end of the run, and return it.

        Raises:
            UserInputError: if nothing answers any more, or the run can never start.
            RuntimeError: if the pod that starts the steps failed.
        """
        while True:
            run = self.look()
            if run is not None and run.status.is_finished:
                return run
            self.sleep(self.stack.jobs.poll_seconds)

    def look(self) -> Any:
        """Look once and tell what is new; the run, or None where nothing answered.

        Raises:
            UserInputError: if nothing has answered for long, or the run can never start.
            RuntimeError: if the pod that starts the steps failed.
        """
        from zenml.client import Client

        try:
            run = Client().get_pipeline_run(self.run_id)
            now = run_objects(self.cluster, self.run_id)
            waiting = [] if run.status.is_finished else waiting_reasons(self.cluster, now)
            self._tell_logs(now)
            failed = None if run.status.is_finished else _failed_orchestrator(now)
        except FAULTS:
            raise
        except Exception as error:  # noqa: BLE001 - server, network and cluster each have their own
            self._unanswered(error)
            return None
        self._answered()
        self._tell_progress(run, waiting)
        self._tell_waiting(waiting)
        self._give_up(waiting, failed)
        return run

    def _tell_progress(self, run: Any, waiting: list[Waiting]) -> None:
        done = sum(step.status.is_finished for step in run.steps.values())
        running = sorted(n for n, step in run.steps.items() if str(step.status) == "running")
        notes = [f"{', '.join(running)} running"] if running else []
        notes += [f"{entry.step} waits" for entry in waiting if entry.step != ORCHESTRATOR]
        report = reporter(f"run on {self.stack.name}")
        report(min(done, self.steps), self.steps, "; ".join(notes))

    def _tell_waiting(self, waiting: list[Waiting]) -> None:
        """Each step's reason once, and again when it changes."""
        for entry in waiting:
            since = self._since.setdefault((entry.job, entry.reason), self.clock())
            lasting = self.clock() - since >= LASTING_SECONDS
            if entry.reason in QUIET_REASONS and not lasting:
                continue
            if self._told.get(entry.step) != entry.message:
                self._told[entry.step] = entry.message
                self.tell(f"{entry.step} waits ({entry.reason}): {entry.message}")
        for step in set(self._told) - {entry.step for entry in waiting}:
            del self._told[step]
            self.tell(f"{step} has started")

    def _tell_logs(self, now: RunObjects) -> None:
        for step, line in self._logs.news(now.pods):
            self.tell(f"{step} | {line}")

    def _give_up(self, waiting: list[Waiting], failed: str | None) -> None:
        for entry in waiting:
            waited = self.clock() - self._since[(entry.job, entry.reason)]
            if entry.step == ORCHESTRATOR and entry.hopeless and waited >= HOPELESS_SECONDS:
                end(self.stack, self.cluster, self.run_id)
                raise UserInputError(
                    f"image: the run on {self.stack.name} cannot start ({entry.reason}): "
                    f"{entry.message}. It was stopped."
                )
        if failed is not None:
            end(self.stack, self.cluster, self.run_id)
            raise RuntimeError(f"the pod that starts the steps failed: {failed}")

    def _unanswered(self, error: Exception) -> None:
        if self._silent_since is None:
            self._silent_since = self.clock()
            self.tell(f"No answer from the cluster or its server ({short(error)}); waiting for it.")
        if self.clock() - self._silent_since >= PATIENCE_SECONDS:
            raise UserInputError(
                f"No answer from the cluster {self.stack.cluster.context or ''} or its server for "
                f"{PATIENCE_SECONDS / 60:.0f} minutes ({short(error)}). The run may go on there; "
                f"its Jobs have the label {RUN}={self.run_id}."
            ) from error

    def _answered(self) -> None:
        if self._silent_since is not None:
            self._silent_since = None
            self.tell("The cluster answers again.")


def _failed_orchestrator(now: RunObjects) -> str | None:
    """What Kubernetes says of the orchestrator's Job, where it failed."""
    for job in now.jobs:
        if step_of(job) == ORCHESTRATOR and finished(job):
            for condition in job.status.conditions or []:
                if condition.type == "Failed":
                    return str(condition.message or condition.reason)
    return None


def end(stack: KubernetesStack, cluster: Cluster, run_id: str) -> None:
    """Delete a run's Jobs, pods and token, and note it as failed."""
    delete_jobs(cluster, run_id)
    note_end(stack, cluster, run_id)


def delete_jobs(cluster: Cluster, run_id: str) -> None:
    """Delete a run's Jobs that are not over, with their pods; the one that makes the others first."""
    space, deleted = cluster.namespace, set[str]()
    for _ in range(2):  # it may have made another meanwhile
        for job in sorted(run_jobs(cluster, run_id), key=lambda job: step_of(job) != ORCHESTRATOR):
            if not finished(job) and job.metadata.name not in deleted:
                deleted.add(job.metadata.name)
                found(
                    cluster.batch.delete_namespaced_job,
                    job.metadata.name,
                    space,
                    propagation_policy="Foreground",
                )


def note_end(stack: KubernetesStack, cluster: Cluster, run_id: str) -> None:
    """Delete a run's token, and tell ZenML that it failed: nothing else of it will."""
    from uuid import UUID

    from zenml.client import Client
    from zenml.orchestrators.publish_utils import publish_failed_pipeline_run

    snapshot = Client().get_pipeline_run(run_id).snapshot
    if stack.server is not None and stack.server.token_as_secret and snapshot is not None:
        found(
            cluster.core.delete_namespaced_secret, f"zenml-token-{snapshot.id}", cluster.namespace
        )
    publish_failed_pipeline_run(UUID(run_id))


def short(error: BaseException) -> str:
    """An error in a line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}{': ' + lines[0][:160] if lines else ''}"
