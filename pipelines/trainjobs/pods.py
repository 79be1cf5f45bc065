"""The pods of a TrainJob: one a node, newest start of the group only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.stacks.cluster import Cluster

SET = "jobset.sigs.k8s.io/jobset-name"
ATTEMPT = "jobset.sigs.k8s.io/restart-attempt"
INDEX = "batch.kubernetes.io/job-completion-index"
ABSENT = ("ContainerCreating", "PodInitializing", None)


@dataclass(frozen=True, slots=True)
class Member:
    """One node's pod."""

    name: str
    """Its name."""
    node: int
    """Which of the nodes it is, from 0; the first holds rank 0."""
    attempt: int
    """Which start of the group it belongs to, from 0."""
    phase: str
    """Pending, Running, Succeeded, Failed."""
    placed: bool
    """Whether it has a node."""
    waits: str = ""
    """Why it does not run, in the cluster's own words."""
    ended: str = ""
    """How its container ended, where it failed."""

    @property
    def speaks(self) -> bool:
        """Whether it may have a log."""
        return self.phase in ("Running", "Succeeded", "Failed")


def members(cluster: Cluster, train_job: str) -> list[Member]:
    """The pods of the newest start, by node.

    Args:
        cluster: where they run.
        train_job: name of their TrainJob.
    """
    pods = cluster.core.list_namespaced_pod(cluster.namespace, label_selector=f"{SET}={train_job}")
    found = [_member(pod) for pod in pods.items]
    newest = max((member.attempt for member in found), default=0)
    # A pod that was taken away and its successor have one index: the living one counts.
    by_node: dict[int, Member] = {}
    for member in sorted(found, key=lambda m: m.phase != "Failed"):
        if member.attempt == newest:
            by_node[member.node] = member
    return [by_node[node] for node in sorted(by_node)]


def _member(pod: Any) -> Member:
    labels, notes = pod.metadata.labels or {}, pod.metadata.annotations or {}
    statuses = pod.status.container_statuses or []
    return Member(
        name=pod.metadata.name,
        node=int(labels.get(INDEX) or notes.get(INDEX) or 0),
        attempt=int(labels.get(ATTEMPT) or notes.get(ATTEMPT) or 0),
        phase=str(pod.status.phase),
        placed=bool(pod.spec.node_name),
        waits=_waits(pod, statuses),
        ended=_ended(statuses),
    )


def _waits(pod: Any, statuses: Sequence[Any]) -> str:
    for condition in pod.status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False":
            return str(condition.message or condition.reason)
    for status in statuses:
        waiting = status.state.waiting if status.state else None
        if waiting is not None and waiting.reason not in ABSENT:
            return f"{waiting.reason}{': ' + waiting.message if waiting.message else ''}"
    return ""


def _ended(statuses: Sequence[Any]) -> str:
    for status in statuses:
        over = status.state.terminated if status.state else None
        if over is not None and over.exit_code:
            reason = f" ({over.reason})" if over.reason not in (None, "Error") else ""
            return f"exit code {over.exit_code}{reason}"
    return ""
