"""What only a pod of the image sees: this version of saga, and from there the server, the store, the cache.

One Job with one pod on the default pool, made and deleted by the check. Its pod is set up as a step's is.
"""

import json
import secrets
import time
from typing import Any

from pipelines.stacks import pod_view
from pipelines.stacks.checks.finding import Finding, found
from pipelines.stacks.cluster import Cluster
from pipelines.stacks.configuration import IMAGE, KubernetesStack
from pipelines.stacks.logs import tail
from pipelines.stacks.objects import RUN, run_objects
from pipelines.stacks.pools import looking_pod
from pipelines.stacks.waiting import Waiting, waiting_reasons

LOOK_SECONDS = 1.0
HOPELESS_SECONDS = 30.0
"""How long a pod may wait for something that does not come, such as an image that is not there."""
TRIES = 3
"""Pods that may be taken away."""
MISSING = "No module named"


def image(stack: KubernetesStack, cluster: Cluster, *, store: bool) -> list[Finding]:
    """Start a pod of the image and let it look.

    Args:
        stack: the stack.
        cluster: where it runs.
        store: whether it also writes, reads and deletes an object of the artifact store.
    """
    minutes = stack.jobs.image_check_minutes
    if minutes == 0:
        return [unseen(stack, "jobs.image_check_minutes is 0")]
    label = f"check-{secrets.token_hex(6)}"
    job = _job(stack, label, store)
    cluster.batch.create_namespaced_job(cluster.namespace, job)
    try:
        pod, waiting = _over(cluster, label, 60.0 * minutes)
        lines = [] if pod is None else tail(cluster, pod.metadata.name)
    finally:
        found(
            cluster.batch.delete_namespaced_job,
            job.metadata.name,
            cluster.namespace,
            propagation_policy="Background",
        )
    return _waits(stack, waiting, minutes) if pod is None else _seen(stack, pod, lines)


def unseen(stack: KubernetesStack, why: str) -> Finding:
    """That nobody looked at the image."""
    return Finding(
        "image",
        f"{stack.image} was not looked at ({why}): that it exists and holds this version of saga is seen "
        f"when the first pod starts, which otherwise ends with exit code 2.{moves(stack)}",
        "tells",
    )


def moves(stack: KubernetesStack) -> str:
    """A word about tags."""
    named = IMAGE.fullmatch(stack.image)
    assert named is not None, "the stack file was read strictly"
    return "" if named["digest"] else " Its tag can be moved; @sha256:DIGEST cannot."


def _job(stack: KubernetesStack, label: str, store: bool) -> Any:
    from kubernetes import client

    given = looking_pod(stack)
    bucket = None if stack.artifact_store.is_folder else stack.artifact_store.uri
    asked = {
        pod_view.SERVER: None if stack.server is None else stack.server.url,
        pod_view.STORE: bucket if store else None,
    }
    container = client.V1Container(
        name="main",
        image=stack.image,
        command=["python", "-m", pod_view.MODULE, json.dumps(asked)],
        env=given["env"],
        resources=given["resources"],
        volume_mounts=given["volume_mounts"],
        security_context=given["container_security_context"],
    )
    spec = client.V1PodSpec(
        containers=[container],
        restart_policy="Never",
        service_account_name=stack.service_accounts.step,
        node_selector=given["node_selectors"],
        tolerations=given["tolerations"],
        volumes=given["volumes"],
        image_pull_secrets=[{"name": name} for name in given["image_pull_secrets"]],
        **given["additional_pod_spec_args"],
    )
    labels = given["labels"] | {RUN: label}
    metadata = client.V1ObjectMeta(labels=labels, annotations=given["annotations"])
    return client.V1Job(
        metadata=client.V1ObjectMeta(name=f"saga-{label}", labels=labels),
        spec=client.V1JobSpec(
            template=client.V1PodTemplateSpec(metadata=metadata, spec=spec),
            backoff_limit=TRIES,
            # Where this command is killed before it can delete the Job.
            active_deadline_seconds=60 * stack.jobs.image_check_minutes,
            ttl_seconds_after_finished=60,
        ),
    )


def _over(cluster: Cluster, label: str, seconds: float) -> tuple[Any, Waiting | None]:
    """The pod that has looked; None, and what it waits for, where there is none in time."""
    began, hopeless = time.monotonic(), None
    while True:
        there = run_objects(cluster, label)
        over = [pod for pod in there.pods if pod.status.phase in ("Succeeded", "Failed")]
        looked = [pod for pod in over if not _taken_away(pod)]
        if looked:
            return looked[0], None
        waiting = next(iter(waiting_reasons(cluster, there)), None)
        now = time.monotonic()
        hopeless = (hopeless or now) if waiting is not None and waiting.hopeless else None
        if now - began >= seconds or (hopeless and now - hopeless >= HOPELESS_SECONDS):
            return None, waiting
        time.sleep(LOOK_SECONDS)


def _taken_away(pod: Any) -> bool:
    conditions = pod.status.conditions or []
    return any(c.type == "DisruptionTarget" and c.status == "True" for c in conditions)


def _waits(stack: KubernetesStack, waiting: Waiting | None, minutes: int) -> list[Finding]:
    why = "" if waiting is None else f" ({waiting.reason}): {waiting.message}"
    if waiting is not None and waiting.hopeless:
        return [Finding("image", f"A pod of {stack.image} cannot start{why}.")]
    return [unseen(stack, f"its pod waited {minutes} minutes{why}")]


def _seen(stack: KubernetesStack, pod: Any, lines: list[str]) -> list[Finding]:
    seen = pod_view.answer(lines)
    if seen is None:
        return [Finding("image", _silence(stack, pod, lines))]
    problems = [Finding(entry["key"], entry["message"]) for entry in seen["problems"]]
    problems = [*_other_versions(stack, seen), *problems]
    told = f"A pod of {stack.image} ran: it holds this version of saga.{moves(stack)}"
    return problems or [Finding("image", told, "tells")]


def _other_versions(stack: KubernetesStack, seen: dict[str, Any]) -> list[Finding]:
    from importlib import metadata

    from pipelines.provenance import code_digest

    ours, zenml = code_digest(), metadata.version("zenml")
    if seen["code"] != ours:
        return [
            Finding(
                "image",
                f"{stack.image} holds other code ({seen['code'][:12]}) than this command ({ours[:12]}). "
                "Build the image from the same commit, or use the version of saga that the image holds.",
            )
        ]
    if seen["zenml"] != zenml:
        message = (
            f"{stack.image} holds ZenML {seen['zenml']}, here is {zenml}: ZenML wants the same."
        )
        return [Finding("image", message)]
    return []


def _silence(stack: KubernetesStack, pod: Any, lines: list[str]) -> str:
    """Why a pod did not answer."""
    ended = [c.state.terminated for c in pod.status.container_statuses or [] if c.state]
    terminated = ended[0] if ended else None
    said = next((line for line in reversed(lines) if line.strip()), "")
    said = said or (terminated.message if terminated is not None else None) or "nothing"
    code = "" if terminated is None else f" with exit code {terminated.exit_code}"
    if MISSING in said:
        return (
            f"{stack.image} does not hold this version of saga: a pod of it said {said!r}. Build it from "
            "infra/docker/Dockerfile, of the commit that you run (docs/kubernetes.md)."
        )
    return f"A pod of {stack.image} that looked around ended{code}; it said: {said.strip()}"
