"""Can trainings use several nodes: is Kubeflow Trainer there, our runtime, and the step's rights?

Asked only of stacks whose training pool has several nodes.
"""

from collections.abc import Iterator
from typing import Any

from pipelines.stacks.checks import access
from pipelines.stacks.checks.access import Right
from pipelines.stacks.checks.capacity import has, usable
from pipelines.stacks.checks.finding import Finding, found
from pipelines.stacks.cluster import Cluster
from pipelines.stacks.configuration import TRAINS, KubernetesStack
from pipelines.stacks.pool import PoolConfig
from pipelines.trainjobs.manifest import GROUP, PLURAL, RUNTIMES, TARGET, VERSION

JOBSET, FORMER = "jobset.x-k8s.io", "kubeflow.org"
INSTALL = "Install Kubeflow Trainer v2.0 and JobSet (docs/kubernetes.md says how)"
FRAMEWORK = "trainer.kubeflow.org/framework"
FOLLOWER = (
    *(Right(verb, PLURAL, GROUP) for verb in ("create", "get", "delete")),
    Right("get", "pods"),
    Right("list", "pods"),
    Right("get", "pods/log"),
)
"""What the training step does where it has several nodes."""


def trainer(stack: KubernetesStack, cluster: Cluster) -> Iterator[Finding]:
    """What keeps trainings from using several nodes; nothing for a stack that has one a pool."""
    if not stack.spreads:
        return
    missing = list(_installed(stack, cluster))
    yield from missing
    yield from _account(stack, cluster)
    if not missing:
        yield from _runtime(stack, cluster)
    yield from _size(stack, cluster)


def _installed(stack: KubernetesStack, cluster: Cluster) -> Iterator[Finding]:
    """Whether the API is served, in the version that we write."""
    from kubernetes import client

    groups = {g.name: g for g in client.ApisApi(cluster.api).get_api_versions().groups}
    key = _key(stack)
    if GROUP not in groups:
        former = f" {FORMER} is that of its predecessor, another one." if FORMER in groups else ""
        yield Finding(
            key,
            f"{_many(stack)}, but the cluster has no {GROUP}.{former} {INSTALL}, or set {key} to 1.",
        )
        return
    served = [version.version for version in groups[GROUP].versions]
    if VERSION not in served:
        yield Finding(
            key,
            f"{_many(stack)}; the cluster serves {GROUP} as {', '.join(served)}, and this version of "
            f"saga writes {VERSION}. {INSTALL}.",
        )
    if JOBSET not in groups:
        yield Finding(
            key, f"Kubeflow Trainer is there, but not {JOBSET}, which it uses. {INSTALL}."
        )


def _account(stack: KubernetesStack, cluster: Cluster) -> Iterator[Finding]:
    """Whether the training step's account exists and may make TrainJobs."""
    key, name = "service_accounts.training", stack.service_accounts.training
    if found(cluster.core.read_namespaced_service_account, name, cluster.namespace) is None:
        yield Finding(
            key,
            f"There is no service account {name} in {cluster.namespace}. infra/kubernetes makes it: "
            "kubectl apply -k.",
        )
        return
    missing = [str(right) for right in FOLLOWER if not access.may(cluster, name, right)]
    if missing:
        yield Finding(
            key,
            f"{name} may not {', '.join(missing)} in {cluster.namespace}. Bind the role saga-training "
            "of infra/kubernetes to it.",
        )


def _runtime(stack: KubernetesStack, cluster: Cluster) -> Iterator[Finding]:
    """Whether the runtime exists, is one for torch, and makes the pods that the pool describes."""
    from kubernetes import client

    key, name = "trainer.runtime", stack.trainer.runtime
    read = client.CustomObjectsApi(cluster.api).get_namespaced_custom_object
    runtime = found(read, GROUP, VERSION, cluster.namespace, RUNTIMES, name)
    if runtime is None:
        yield Finding(
            key,
            f"There is no TrainingRuntime {name} in {cluster.namespace}. The overlay trainer of "
            "infra/kubernetes makes it: kubectl apply -k.",
        )
        return
    if "torch" not in (runtime["spec"].get("mlPolicy") or {}):
        yield Finding(
            key, f"The TrainingRuntime {name} is not one for torch (spec.mlPolicy.torch)."
        )
        return
    pod = _pod(runtime)
    if pod is None:
        yield Finding(
            key,
            f"The TrainingRuntime {name} has no job {TARGET} with a container {TARGET}. Use that of "
            "infra/kubernetes.",
        )
        return
    yield from _differences(stack, pod)


def _pod(runtime: dict[str, Any]) -> dict[str, Any] | None:
    """The runtime's pod, where there is one that a TrainJob can fill in."""
    for job in runtime["spec"].get("template", {}).get("spec", {}).get("replicatedJobs", []):
        pod: dict[str, Any] = job["template"]["spec"]["template"]["spec"]
        if job["name"] == TARGET and any(c["name"] == TARGET for c in pod["containers"]):
            return pod
    return None


def _differences(stack: KubernetesStack, pod: dict[str, Any]) -> Iterator[Finding]:
    """A TrainJob cannot say these of its pods; the runtime does."""
    name = stack.pool_of(TRAINS)
    pool, security = stack.pools[name], pod.get("securityContext", {})
    secrets = tuple(secret["name"] for secret in pod.get("imagePullSecrets", []))
    pairs = (
        (f"pools.{name}.priority_class", pool.priority_class, pod.get("priorityClassName")),
        (f"pools.{name}.runtime_class", pool.runtime_class, pod.get("runtimeClassName")),
        (
            f"pools.{name}.security.run_as_user",
            pool.security.run_as_user,
            security.get("runAsUser"),
        ),
        ("image_pull_secrets", stack.image_pull_secrets, secrets),
    )
    for key, ours, theirs in pairs:
        if ours != theirs:
            yield Finding(
                key,
                f"It is {_shown(ours)}, but pods of trainings on several nodes get that of the "
                f"TrainingRuntime {stack.trainer.runtime}: {_shown(theirs)}. Make them equal.",
                "warns",
            )


def _size(stack: KubernetesStack, cluster: Cluster) -> Iterator[Finding]:
    """Fewer nodes than a training may ask for."""
    pool: PoolConfig = stack.pools[stack.pool_of(TRAINS)]
    if pool.may_be_empty:
        return
    there = cluster.core.list_node().items
    ready = sum(has(n.metadata.labels or {}, pool.labels) and usable(n) for n in there)
    if ready < pool.nodes:
        yield Finding(
            _key(stack),
            f"{_many(stack)}; {ready} of it are ready now. A training that asks for more waits.",
            "warns",
        )


def _key(stack: KubernetesStack) -> str:
    return f"pools.{stack.pool_of(TRAINS)}.nodes"


def _many(stack: KubernetesStack) -> str:
    name = stack.pool_of(TRAINS)
    return f"A training may use {stack.pools[name].nodes} nodes of the pool {name}"


def _shown(value: object) -> str:
    return "none" if value in (None, ()) else str(value)
