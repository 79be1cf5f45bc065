"""What a cluster holds of a run, at one moment.

    now = run_objects(cluster, run_id)
    now.jobs, now.pods

Whoever looks at a run lists it once, and hands that on.
"""

from dataclasses import dataclass
from typing import Any

from pipelines.stacks.cluster import Cluster

RUN, STEP = "run_id", "step_name"
"""Labels of ZenML's Jobs and pods."""


@dataclass(frozen=True, slots=True)
class RunObjects:
    """A run's Jobs and their pods."""

    jobs: list[Any]
    """V1Job."""
    pods: list[Any]
    """V1Pod, of all of them."""


def run_objects(cluster: Cluster, run_id: str) -> RunObjects:
    """Jobs first: a pod that has just been made may lack its Job here, never a Job its older pods.

    Args:
        cluster: where it runs.
        run_id: ZenML's id of the run, by which its Jobs are labelled.
    """
    return RunObjects(run_jobs(cluster, run_id), run_pods(cluster, run_id))


def run_jobs(cluster: Cluster, run_id: str) -> list[Any]:
    """Its Jobs alone."""
    selector = f"{RUN}={run_id}"
    return list(cluster.batch.list_namespaced_job(cluster.namespace, label_selector=selector).items)


def run_pods(cluster: Cluster, run_id: str) -> list[Any]:
    """Its pods alone."""
    selector = f"{RUN}={run_id}"
    return list(cluster.core.list_namespaced_pod(cluster.namespace, label_selector=selector).items)
