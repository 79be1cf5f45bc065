"""Why the pods of a run wait: no free GPU, a quota that is used up, an image that cannot be pulled.

    for waiting in waiting_reasons(cluster, run_objects(cluster, run_id)): ...

The words are the scheduler's and the controllers' own, from pods' conditions and from events.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.stacks.cluster import Cluster
from pipelines.stacks.objects import STEP, RunObjects

STEP_ANNOTATION = "zenml.io/step-name"
ORCHESTRATOR = "orchestrator"
SUSPENDED = "Suspended"
"""Reason of a Job that a queue (Kueue) holds back."""
HOPELESS = (
    "InvalidImageName",
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
)
"""Reasons of a waiting container that waiting does not cure."""
UNSCHEDULABLE = "Unschedulable"
TOLD = {
    "FailedCreate": "FailedCreate",
    "FailedScheduling": UNSCHEDULABLE,
    "FailedMount": "FailedMount",
    "FailedAttachVolume": "FailedAttachVolume",
    "NotTriggerScaleUp": "NotTriggerScaleUp",
}
"""Events that say why a pod does not start, and the reason that it is: the scheduler writes its event some
milliseconds before the pod's condition, and both are one reason."""
EVENTS = 500


@dataclass(frozen=True, slots=True)
class Waiting:
    """A step whose pod has not started."""

    step: str
    """Name of the step, or "orchestrator"."""
    job: str
    """Its Job."""
    reason: str
    """Short, as Kubernetes names it: Unschedulable, FailedCreate, ImagePullBackOff."""
    message: str
    """Why, in the cluster's own words."""

    @property
    def hopeless(self) -> bool:
        """Whether it would wait for ever."""
        return self.reason in HOPELESS


def waiting_reasons(cluster: Cluster, now: RunObjects) -> list[Waiting]:
    """Steps of a run whose pods have not started, and why.

    Args:
        cluster: where it runs; asked for events where something waits.
        now: what it holds of the run.
    """
    found = [_waiting(job, _pods_of(job, now.pods)) for job in now.jobs if not finished(job)]
    if all(entry is None for entry in found):
        return []
    events = cluster.core.list_namespaced_event(cluster.namespace, limit=EVENTS).items
    return [_with_events(entry, events, now.pods) for entry in found if entry is not None]


def finished(job: Any) -> bool:
    """Whether a Job is over, one way or the other."""
    conditions = job.status.conditions or []
    return any(c.type in ("Complete", "Failed") and c.status == "True" for c in conditions)


def step_of(job: Any) -> str:
    """The step that a Job runs."""
    annotations, labels = job.metadata.annotations or {}, job.metadata.labels or {}
    return str(annotations.get(STEP_ANNOTATION) or labels.get(STEP) or ORCHESTRATOR)


def _pods_of(job: Any, pods: Iterable[Any]) -> list[Any]:
    """A Job's pods, oldest first."""
    own = [p for p in pods if (p.metadata.labels or {}).get("job-name") == job.metadata.name]
    return sorted(own, key=lambda pod: str(pod.metadata.creation_timestamp))


def _waiting(job: Any, pods: Sequence[Any]) -> Waiting | None:
    """What the Job and its newest pod say; None where a pod runs."""
    name, step = job.metadata.name, step_of(job)
    if job.spec.suspend:
        return Waiting(step, name, SUSPENDED, _held_back(job))
    if pods and pods[-1].status.phase == "Succeeded":
        return None  # the Job will be over in a moment
    living = [pod for pod in pods if _lives(pod)]
    if not living:
        return Waiting(step, name, "NoPod", "its pod has not been made yet")
    newest = living[-1]
    if newest.status.phase == "Running":
        return None
    for status in newest.status.container_statuses or []:
        waiting = status.state.waiting if status.state else None
        if waiting is not None and waiting.reason not in (
            None,
            "ContainerCreating",
            "PodInitializing",
        ):
            return Waiting(step, name, waiting.reason, waiting.message or waiting.reason)
    for condition in newest.status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False":
            reason = condition.reason or UNSCHEDULABLE
            return Waiting(step, name, reason, condition.message or reason)
    return Waiting(step, name, "Starting", "its container is being made")


def _held_back(job: Any) -> str:
    """Why a Job may not make its pod yet."""
    for condition in job.status.conditions or []:
        if condition.type == SUSPENDED and condition.status == "True" and condition.message:
            return f"{condition.message}; its queue starts it when there is room"
    return "its queue starts it when there is room"


def _with_events(waiting: Waiting, events: Sequence[Any], pods: Sequence[Any]) -> Waiting:
    """The same with the newest event that says more, where the pod itself says nothing."""
    if waiting.reason not in ("NoPod", "Starting"):
        return waiting
    own = [pod for pod in pods if _belongs(pod, waiting.job) and _lives(pod)]
    names = {waiting.job} | {pod.metadata.name for pod in own}
    telling = [e for e in events if e.involved_object.name in names and e.reason in TOLD]
    if not telling:
        return waiting
    newest = max(telling, key=_when)
    reason = TOLD[newest.reason]
    return Waiting(waiting.step, waiting.job, reason, newest.message or reason)


def _lives(pod: Any) -> bool:
    return pod.status.phase in ("Pending", "Running")


def _belongs(pod: Any, job: str) -> bool:
    return (pod.metadata.labels or {}).get("job-name") == job


def _when(event: Any) -> str:
    moment = event.last_timestamp or event.event_time or event.metadata.creation_timestamp
    return str(moment)
