"""Kubernetes objects as the API server writes them, shortened."""

import json
from importlib import metadata
from typing import Any

from pipelines.provenance import code_digest
from pipelines.stacks import pod_view

BATCH = "/apis/batch/v1/namespaces/saga/jobs"
PODS = "/api/v1/namespaces/saga/pods"
EVENTS = "/api/v1/namespaces/saga/events"
NODES = "/api/v1/nodes"
QUOTAS = "/api/v1/namespaces/saga/resourcequotas"
CLAIMS = "/api/v1/namespaces/saga/persistentvolumeclaims"
ACCOUNTS = "/api/v1/namespaces/saga/serviceaccounts"
PRIORITIES = "/apis/scheduling.k8s.io/v1/priorityclasses"
RUNTIMES = "/apis/node.k8s.io/v1/runtimeclasses"
NAMESPACES = "/api/v1/namespaces"
VERSION = "/version/"
RUN = "9d5f0d6e-0000-4000-8000-000000000001"

Object = dict[str, Any]


def named(name: str, **rest: Any) -> Object:
    """An object with a name alone."""
    return {"metadata": {"name": name}} | rest


def job(name: str, step: str | None, done: str | None = None) -> Object:
    """A Job of the run."""
    labels = {"run_id": RUN} | ({"step_name": step} if step else {})
    annotations = {"zenml.io/step-name": step} if step else {}
    conditions = [{"type": done, "status": "True", "message": "why"}] if done else []
    return {
        "metadata": {"name": name, "labels": labels, "annotations": annotations},
        "spec": {"template": {"spec": {"containers": []}}},
        "status": {"conditions": conditions},
    }


def pod(
    name: str,
    of: str,
    phase: str = "Pending",
    *,
    step: str | None = None,
    scheduled: str | None = None,
    waiting: tuple[str, str] | None = None,
    at: str = "2026-01-01T00:00:00Z",
) -> Object:
    """A pod of a Job; `scheduled` is the scheduler's complaint, `waiting` the container's state."""
    labels = {"run_id": RUN, "job-name": of} | ({"step_name": step} if step else {})
    status: Object = {"phase": phase}
    if scheduled is not None:
        told = {"reason": "Unschedulable", "message": scheduled}
        status["conditions"] = [{"type": "PodScheduled", "status": "False"} | told]
    if waiting is not None:
        reason, words = waiting
        state = {"waiting": {"reason": reason, "message": words}}
        status["containerStatuses"] = [
            {
                "name": "main",
                "image": "i",
                "imageID": "",
                "ready": False,
                "restartCount": 0,
                "state": state,
            }
        ]
    return {
        "metadata": {"name": name, "labels": labels, "creationTimestamp": at},
        "spec": {"containers": [{"name": "main"}]},
        "status": status,
    }


def event(of: str, reason: str, words: str, at: str = "2026-01-01T00:00:00Z") -> Object:
    """An event about an object."""
    return {
        "metadata": {"name": f"{of}.1", "namespace": "saga"},
        "involvedObject": {"name": of},
        "reason": reason,
        "message": words,
        "lastTimestamp": at,
    }


def node(
    name: str,
    pool: str,
    *,
    taints: tuple[tuple[str, str, str], ...] = (),
    ready: bool = True,
    closed: bool = False,
    **allocatable: str,
) -> Object:
    """A node; underscores in a resource's name stand for its dots, __ for the slash."""
    there = {"cpu": "16", "memory": "128Gi", "pods": "110"}
    there |= {n.replace("__", "/").replace("_", "."): v for n, v in allocatable.items()}
    return {
        "metadata": {"name": name, "labels": {"saga.dev/pool": pool}},
        "spec": {
            "unschedulable": closed,
            "taints": [{"key": k, "value": v, "effect": e} for k, v, e in taints],
        },
        "status": {
            "allocatable": there,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


GPU = (("nvidia.com/gpu", "present", "NoSchedule"),)


def quota(name: str = "saga", used: Object | None = None, **hard: str) -> Object:
    """A quota; names as those of a node."""
    limits = {n.replace("__", "/").replace("_", "."): v for n, v in hard.items()}
    return {
        "metadata": {"name": name, "namespace": "saga"},
        "spec": {"hard": limits},
        "status": {"hard": limits, "used": used or {}},
    }


def claim(name: str, mode: str = "ReadWriteMany", phase: str = "Bound") -> Object:
    """A claim."""
    return named(name, spec={"accessModes": [mode]}, status={"phase": phase})


def sees(**changes: Any) -> str:
    """What a pod of the right image says."""
    seen = {"code": code_digest(), "zenml": metadata.version("zenml"), "problems": []}
    return pod_view.MARK + json.dumps(seen | changes)


def looked(
    api: Any,
    phase: str = "Succeeded",
    log: str = "",
    code: int = 0,
    message: str | None = None,
    waiting: tuple[str, str] | None = None,
) -> None:
    """Let a pod be there that looks around, whatever its Job is called.

    Args:
        api: where.
        phase: of the pod.
        log: what it said.
        code: its container's exit code.
        message: of its container's end.
        waiting: why its container has not begun.
    """
    found = pod("p", "j", phase, waiting=waiting)
    if phase in ("Succeeded", "Failed"):
        ended = {"terminated": {"exitCode": code, "message": message}}
        status = {"name": "main", "image": "i", "imageID": "", "ready": False}
        found["status"]["containerStatuses"] = [status | {"restartCount": 0, "state": ended}]
    api.put(PODS, found)
    api.put(BATCH, job("j", None))
    api.put(EVENTS)
    api.objects[f"{PODS}/p/log"] = log


def whole(api: Any) -> None:
    """Fill an API with everything that the bundled stack names."""
    told = "major minor gitVersion gitCommit gitTreeState buildDate goVersion compiler platform"
    api.objects[VERSION] = dict.fromkeys(told.split(), "x")
    api.put(NAMESPACES, named("saga"))
    api.put(ACCOUNTS, named("saga-orchestrator"), named("saga-step"))
    api.put(
        NODES,
        node("c1", "cpu"),
        node("t1", "gpu-train", taints=GPU, nvidia_com__gpu="1"),
        node("e1", "gpu-eval", taints=GPU, nvidia_com__gpu="1"),
    )
    api.put(QUOTAS)
    api.put(CLAIMS, claim("saga-dataset-cache"))
    api.put(PRIORITIES, *(named(n, value=1) for n in ("saga-train", "saga-eval")))
    api.put(RUNTIMES)
    looked(api, log=sees())
    accounts = {"system:serviceaccount:saga:saga-step"}
    api.allowed = lambda spec: spec.get("user") not in accounts
