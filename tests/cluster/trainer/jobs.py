"""TrainJobs of a desk, and what a cluster does to their pods."""

from typing import Any

from tests.cluster.api import Object
from tests.cluster.cluster import wait_for
from tests.cluster.desk import RUN_SECONDS, Desk
from tests.cluster.jobs import pods
from tests.cluster.naming import OURS

SET, ATTEMPT = "jobset.sigs.k8s.io/jobset-name", "jobset.sigs.k8s.io/restart-attempt"
INDEX = "batch.kubernetes.io/job-completion-index"
STEP = "step_name"


def train_jobs(desk: Desk, step: str | None = None) -> list[Object]:
    """TrainJobs of a step, oldest first; None: all."""
    path = f"/apis/trainer.kubeflow.org/v1alpha1/namespaces/{desk.space}/trainjobs"
    found = desk.cluster.api.get(path)["items"]
    wanted = [j for j in found if step in (None, j["metadata"]["labels"].get(STEP))]
    return sorted(wanted, key=lambda job: str(job["metadata"]["creationTimestamp"]))


def job_sets(desk: Desk) -> list[Object]:
    """JobSets of the namespace."""
    path = f"/apis/jobset.x-k8s.io/v1alpha2/namespaces/{desk.space}/jobsets"
    found: list[Object] = desk.cluster.api.get(path)["items"]
    return found


def names(items: list[Object]) -> list[str]:
    """Of objects."""
    return [item["metadata"]["name"] for item in items]


def members(desk: Desk, train_job: str) -> list[Object]:
    """Pods of a TrainJob that there are now."""
    found = desk.cluster.api.get(pods(desk.space), labelSelector=f"{SET}={train_job}")
    items: list[Object] = found["items"]
    return items


def member(desk: Desk, train_job: str, node: int, attempt: int = 0) -> Object:
    """A node's pod of a start of the group, as soon as it runs."""

    def look() -> Object | None:
        for pod in members(desk, train_job):
            labels = pod["metadata"]["labels"]
            which = (int(labels[INDEX]), int(labels[ATTEMPT]))
            if which == (node, attempt) and pod["status"].get("phase") == "Running":
                return pod
        return None

    return wait_for(look, f"node {node} of {train_job}, start {attempt}", RUN_SECONDS)


def newest(desk: Desk, step: str = "train_saga") -> str:
    """Name of the newest TrainJob of a step, as soon as there is one."""
    found: list[Object] = wait_for(
        lambda: train_jobs(desk, step), f"a TrainJob of {step}", RUN_SECONDS
    )
    return str(found[-1]["metadata"]["name"])


def two_nodes(**settings: Any) -> list[str]:
    """Arguments of a run with two nodes for the candidate, one for the baseline."""
    given = {
        "training.distributed.nodes": 2,
        "baseline.distributed.nodes": 1,
    } | settings
    return [word for key, value in given.items() for word in ("--set", f"{key}={value}")]


def placed(pod: Object) -> tuple[str, int]:
    """Node and accelerators of a pod."""
    limits = pod["spec"]["containers"][0]["resources"].get("limits", {})
    return pod["spec"]["nodeName"], int(limits.get(OURS.resource, 0))
