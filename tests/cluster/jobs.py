"""Jobs as tests write them, and what became of them."""

from typing import Any

from tests.cluster.agent.node import GPU
from tests.cluster.api import Object
from tests.cluster.cluster import Cluster, wait_for

IMAGE = "registry.example.com/saga:1"
TOLERATION = {"key": "nvidia.com/gpu", "operator": "Equal", "value": "present"}
DISRUPTIONS_ARE_NO_FAILURES = {
    "rules": [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {
            "action": "Count",
            "onExitCodes": {"containerName": "main", "operator": "NotIn", "values": [0]},
        },
    ]
}


def job(name: str, script: str, *, pool: str = "cpu", gpus: int = 0, **spec: Any) -> Object:
    """A Job with one container.

    Args:
        name: its name.
        script: for sh.
        pool: whose nodes it asks for; the taint of GPU pools is tolerated where it takes GPUs.
        gpus: how many it takes.
        spec: of the Job.
    """
    limits = {GPU: str(gpus)} if gpus else {}
    container = {
        "name": "main",
        "image": IMAGE,
        "command": ["sh", "-c", script],
        "resources": {"limits": limits},
    }
    pod = {
        "restartPolicy": "Never",
        "nodeSelector": {"saga.dev/pool": pool},
        "tolerations": [TOLERATION] if gpus else [],
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,  # a shell as the first process does not hear SIGTERM
        "containers": [container],
    }
    return {"metadata": {"name": name}, "spec": {"template": {"spec": pod}, **spec}}


def main(item: Object) -> Object:
    """The container of a Job, to be changed."""
    container: Object = item["spec"]["template"]["spec"]["containers"][0]
    return container


def jobs(space: str) -> str:
    return f"/apis/batch/v1/namespaces/{space}/jobs"


def pods(space: str) -> str:
    return f"/api/v1/namespaces/{space}/pods"


def pods_of(cluster: Cluster, space: str, name: str) -> list[Object]:
    """A Job's pods, oldest first."""
    found = cluster.api.get(pods(space), labelSelector=f"job-name={name}")["items"]
    return sorted(found, key=lambda pod: pod["metadata"]["creationTimestamp"])


def pod_in(cluster: Cluster, space: str, name: str, phase: str) -> Object:
    """A Job's pod, as soon as it is in a phase."""

    def look() -> Object | None:
        found = pods_of(cluster, space, name)
        return next((pod for pod in found if pod["status"].get("phase") == phase), None)

    return wait_for(look, f"a pod of {name} to be {phase}")


def finished(cluster: Cluster, space: str, name: str) -> Object:
    """A Job's status, as soon as it is over."""
    return wait_for(lambda: _over(cluster.api.get(f"{jobs(space)}/{name}")), f"the end of {name}")


def conditions(status: Object) -> dict[str, str]:
    """Status of each condition by its type."""
    return {entry["type"]: entry["status"] for entry in status.get("conditions", [])}


def evict(cluster: Cluster, pod: Object) -> None:
    """Ask a pod to leave, as a drained or reclaimed node does."""
    about = pod["metadata"]
    path = f"{pods(about['namespace'])}/{about['name']}/eviction"
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": about["name"]}}
    cluster.api.create(path, eviction)


def log(cluster: Cluster, pod: Object, **query: str | int) -> str:
    """What a pod said, by way of the API server."""
    about = pod["metadata"]
    return cluster.api.text(f"{pods(about['namespace'])}/{about['name']}/log", **query)


def run(cluster: Cluster, space: str, item: Object) -> tuple[Object, str]:
    """Start a Job and wait for its end: its last pod and what that said."""
    cluster.api.create(jobs(space), item)
    name = item["metadata"]["name"]
    status = finished(cluster, space, name)
    pod = pods_of(cluster, space, name)[-1]
    said = log(cluster, pod)
    assert conditions(status).get("Complete") == "True", (status, said)
    return pod, said


def _over(item: Object) -> Object | None:
    status: Object = item.get("status", {})
    held = conditions(status)
    return status if "True" in (held.get("Complete"), held.get("Failed")) else None
