"""Whose a TrainJob is: the Job that makes the training step's pods.

A pod that is killed or evicted leaves its Job, which makes the next pod, and that one finds the TrainJob
again. Whatever ends the step ends the Job, and Kubernetes deletes the TrainJob with it: a stop of the run, a
step without heartbeat, the clean-up of a finished run. Nobody has to be alive for that.
"""

import os
from dataclasses import dataclass
from typing import Any

from pipelines.stacks.cluster import Cluster
from pipelines.stacks.objects import RUN, STEP


@dataclass(frozen=True, slots=True)
class Owner:
    """The step that a TrainJob belongs to."""

    run: str
    """ZenML's id of the run."""
    step: str
    """Name of the step."""
    job: str
    """Job of its pods."""
    uid: str
    """That Job's uid."""

    def reference(self) -> dict[str, Any]:
        """As Kubernetes takes it."""
        return {"apiVersion": "batch/v1", "kind": "Job", "name": self.job, "uid": self.uid}

    def labels(self) -> dict[str, str]:
        """By which everything of a run is found."""
        return {RUN: self.run, STEP: self.step}


def owner(cluster: Cluster, pod: str | None = None) -> Owner:
    """The step of a pod.

    Args:
        cluster: where it runs.
        pod: its name; None: the pod that asks.

    Raises:
        RuntimeError: if it is none of a step.
    """
    name = pod or os.environ.get("HOSTNAME", "")
    found = cluster.core.read_namespaced_pod(name, cluster.namespace)
    labels = found.metadata.labels or {}
    jobs = [o for o in found.metadata.owner_references or [] if o.kind == "Job"]
    if not jobs or RUN not in labels or STEP not in labels:
        raise RuntimeError(f"the pod {name} is none of a step: it has no Job, or no label {RUN}")
    return Owner(labels[RUN], labels[STEP], jobs[0].name, jobs[0].uid)
