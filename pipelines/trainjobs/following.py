"""Follows a TrainJob to its end: how far it is, what it waits for, why it failed.

    Follower(cluster, template, train_job, folder, nodes).follow(progress)

An API server that does not answer for a while is waited for. A step's pod that is told to end leaves the
TrainJob: the next pod of the step goes on following it, and if there is none, it goes with the step's Job.
"""

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.stacks.cluster import Cluster
from pipelines.stacks.following import short
from pipelines.trainjobs.logs import Logs
from pipelines.trainjobs.pods import Member, members
from pipelines.trainjobs.state import State, Wanted, state_of
from pipelines.trainjobs.submission import TrainJob, delete, look
from pipelines.trainjobs.template import Template
from saga.errors import SagaError
from saga.training.processes import raise_failure
from saga.training.termination import postponed_termination
from saga.training.trainer import Progress

PATIENCE_SECONDS = 900.0
"""How long an API server that does not answer is waited for."""
LASTING_SECONDS = 30.0
"""How long pods may be missing before it is told: they always are at first."""


class TrainJobError(RuntimeError):
    """A TrainJob came to no result; the message says why."""


def say(line: str) -> None:
    """A line for the log of the step's pod, which is shown to whoever follows the run."""
    print(line, flush=True)  # noqa: T201


@dataclass
class Follower:
    """Looks at one TrainJob, again and again."""

    cluster: Cluster
    """Where it runs."""
    template: Template
    """What the stack says of it."""
    name: str
    """Its name."""
    folder: Path
    """What its pods read and write."""
    nodes: int
    """How many pods it has."""
    tell: Callable[[str], None] = say
    """Takes a line for the user."""
    clock: Callable[[], float] = time.time
    """Seconds since 1970."""
    sleep: Callable[[float], None] = time.sleep
    """Waits for seconds."""
    attempt: int = 0
    """The newest start of the group, from 0."""
    _told: str = ""
    _waits_since: float | None = None
    _silent_since: float | None = None
    _logs: Logs = field(init=False)

    def __post_init__(self) -> None:
        self._logs = Logs(self.cluster)

    @property
    def wanted(self) -> Wanted:
        """What the TrainJob asks for."""
        t = self.template
        return Wanted(self.nodes, t.devices, t.device or "", t.pool)

    def follow(self, progress: Callable[[Progress], None] | None = None) -> TrainJob:
        """Wait for the end, and return the TrainJob.

        Args:
            progress: called for every step that is seen; some may be missed.

        Raises:
            SagaError: what the user did wrong, as a process met it; the TrainJob is deleted.
            TrainJobError: if there is no result, with how each node ended.
            SystemExit: if this pod is told to end.
        """
        with postponed_termination() as termination:
            while not termination.asked:
                over = self._look(progress)
                if over is not None:
                    return over
                self.sleep(self.template.poll_seconds)
            self.tell(
                f"This pod ends; the TrainJob {self.name} goes on, and the next pod follows it."
            )
        raise SystemExit(128 + signal.SIGTERM)

    def _look(self, progress: Callable[[Progress], None] | None) -> TrainJob | None:
        """Look once and tell what is new; the TrainJob where it is complete.

        Raises:
            SagaError: what the user did wrong.
            TrainJobError: if there is no result.
        """
        from kubernetes.client.rest import ApiException
        from urllib3.exceptions import HTTPError

        try:
            train_job = look(self.cluster, self.name)
            found = members(self.cluster, self.name)
        except (ApiException, HTTPError, OSError) as error:
            self._unanswered(error)
            return None
        self._silent_since = None
        if train_job is None:
            raise TrainJobError(f"somebody deleted the TrainJob {self.name} before its end")
        for news in self._logs.news(found):
            if isinstance(news, str):
                self.tell(f"node 0 | {news}")
            elif progress is not None:
                progress(news)
        self._check_input()
        return self._judge(train_job, found)

    def _judge(self, train_job: TrainJob, found: Sequence[Member]) -> TrainJob | None:
        state = state_of(train_job, found, self.wanted)
        if state.phase == "complete":
            return train_job
        if state.phase == "failed":
            raise TrainJobError(
                f"the TrainJob {self.name} failed: {state.message}\n{self._logs.last_words(found)}"
            )
        self._tell_restart(found)
        self._tell_state(state, bool(found))
        self._check_deadline(train_job)
        return None

    def _check_input(self) -> None:
        """Wrong input is not tried again, whatever the runtime allows."""
        try:
            raise_failure(self.folder)
        except SagaError:
            delete(self.cluster, self.name)
            raise

    def _tell_restart(self, found: Sequence[Member]) -> None:
        newest = max((member.attempt for member in found), default=0)
        if newest > self.attempt:
            self.attempt = newest
            self.tell(f"The training begins anew from its last checkpoint (start {newest + 1}).")
        # The runtime bounds crashes; how often nodes may be taken away is the stack's to say.
        if newest > self.template.disruptions:
            words = self._logs.last_words(found)
            delete(self.cluster, self.name)
            raise TrainJobError(
                f"the training was begun {newest + 1} times, more often than jobs.disruptions "
                f"({self.template.disruptions}) allows\n{words}"
            )

    def _tell_state(self, state: State, pods: bool) -> None:
        """What it waits for, once, and again when it changes."""
        now = self.clock()
        if state.phase == "running":
            if self._told:
                self.tell("All nodes are there.")
            self._waits_since, self._told = None, ""
        if not state.message:
            return
        if self._waits_since is None:
            self._waits_since = now
        missing = state.phase == "waiting" and not pods
        if missing and now - self._waits_since < LASTING_SECONDS:
            return
        if state.message != self._told:
            self._told = state.message
            self.tell(f"The training waits: {state.message}")

    def _check_deadline(self, train_job: TrainJob) -> None:
        """No longer than the step itself may last: nobody would take the result."""
        age = self.clock() - _seconds(train_job["metadata"]["creationTimestamp"])
        if age > self.template.deadline_seconds:
            delete(self.cluster, self.name)
            raise TrainJobError(
                f"the TrainJob {self.name} took longer than jobs.step_deadline_minutes allows "
                f"({age / 60:.0f} minutes); it was deleted, its checkpoint is kept"
            )

    def _unanswered(self, error: Exception) -> None:
        now = self.clock()
        if self._silent_since is None:
            self._silent_since = now
            self.tell(f"No answer from the cluster ({short(error)}); waiting for it.")
        if now - self._silent_since >= PATIENCE_SECONDS:
            raise TrainJobError(
                f"no answer from the cluster for {PATIENCE_SECONDS / 60:.0f} minutes "
                f"({short(error)}); the TrainJob {self.name} may go on"
            ) from error


def _seconds(moment: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(moment).timestamp()


def facts(train_job: TrainJob, wanted: Wanted, processes: int, starts: int) -> dict[str, Any]:
    """What remains of a TrainJob in the lineage.

    Args:
        train_job: when it is complete.
        wanted: what it asked for.
        processes: on each node.
        starts: how often its group was started.
    """
    about = train_job["metadata"]
    ended = [
        entry.get("lastTransitionTime")
        for entry in train_job.get("status", {}).get("conditions") or []
        if entry["type"] == "Complete"
    ]
    made = about["creationTimestamp"]
    return {
        "name": about["name"],
        "namespace": about["namespace"],
        "uid": about["uid"],
        "nodes": wanted.nodes,
        "processes_per_node": processes,
        "devices_per_node": wanted.devices,
        "starts": starts,
        "made": made,
        "seconds": round(_seconds(ended[0]) - _seconds(made), 1) if ended and ended[0] else None,
    }
