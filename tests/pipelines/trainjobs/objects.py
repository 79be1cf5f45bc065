"""TrainJobs and their pods as the API server writes them, shortened."""

from typing import Any

JOBS = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/saga/trainjobs"
PODS = "/api/v1/namespaces/saga/pods"
NAME = "saga-9d5f0d6e0000-train-saga"
RUN = "9d5f0d6e-0000-4000-8000-000000000001"

Object = dict[str, Any]


def train_job(*conditions: tuple[str, str], suspend: bool = False, **about: Any) -> Object:
    """A TrainJob with conditions that hold: type and message."""
    held = [
        {"type": kind, "status": "True", "message": words, "reason": "Because"}
        | {"lastTransitionTime": "2026-01-01T00:10:00Z"}
        for kind, words in conditions
    ]
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {
            "name": NAME,
            "namespace": "saga",
            "uid": "u-1",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        }
        | about,
        "spec": {"suspend": suspend},
        "status": {"conditions": held},
    }


def pod(
    node: int,
    phase: str = "Running",
    *,
    attempt: int = 0,
    waits: str | None = None,
    code: int | None = None,
    reason: str = "Error",
    name: str | None = None,
) -> Object:
    """A node's pod; `waits` is the scheduler's complaint, `code` how its container ended."""
    labels = {
        "jobset.sigs.k8s.io/jobset-name": NAME,
        "jobset.sigs.k8s.io/restart-attempt": str(attempt),
        "batch.kubernetes.io/job-completion-index": str(node),
    }
    status: Object = {"phase": phase}
    if waits is not None:
        told = {"reason": "Unschedulable", "message": waits}
        status["conditions"] = [{"type": "PodScheduled", "status": "False"} | told]
    if code is not None:
        over = {"exitCode": code, "reason": reason}
        status["containerStatuses"] = [
            {
                "name": "node",
                "image": "i",
                "imageID": "",
                "ready": False,
                "restartCount": 0,
                "state": {"terminated": over},
            }
        ]
    return {
        "metadata": {"name": name or f"{NAME}-node-0-{node}-{attempt}", "labels": labels},
        "spec": {
            "containers": [{"name": "node"}],
            **({} if waits is not None else {"nodeName": f"gpu-{node}"}),
        },
        "status": status,
    }


def step_pod(name: str = "step-1", **labels: str) -> Object:
    """The pod of a training step."""
    return {
        "metadata": {
            "name": name,
            "labels": {"run_id": RUN, "step_name": "train_saga"} | labels,
            "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "Job", "name": "saga-1", "uid": "j-1"}
            ],
        },
        "spec": {"containers": [{"name": "main"}]},
        "status": {"phase": "Running"},
    }


def logs(api: Any, **texts: str) -> None:
    """What pods say, by node."""
    for node, text in texts.items():
        index = node.removeprefix("node")
        for path in [f"{PODS}/{NAME}-node-0-{index}-{attempt}/log" for attempt in range(4)]:
            api.objects[path] = text  # type: ignore[assignment]
