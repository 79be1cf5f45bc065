"""Do the objects exist that the stack file names: claims, classes, secrets?"""

from collections.abc import Iterator

from pipelines.stacks.checks.finding import Finding, found, names
from pipelines.stacks.cluster import Cluster
from pipelines.stacks.configuration import KubernetesStack
from saga.settings.describe import closest

SHARED = "ReadWriteMany"


def claims(stack: KubernetesStack, cluster: Cluster) -> Iterator[Finding]:
    """Claims that are missing, lost, or for one node only."""
    keys = ["cache.claim", *(f"volumes[{i}].claim" for i in range(len(stack.volumes)))]
    read = cluster.core.read_namespaced_persistent_volume_claim
    for key, volume in zip(keys, stack.mounts):
        if volume.claim is None:
            continue
        claim = found(read, volume.claim, cluster.namespace)
        if claim is None:
            yield Finding(key, f"There is no claim {volume.claim} in {cluster.namespace}.")
            continue
        if claim.status.phase == "Lost":
            yield Finding(key, f"The claim {volume.claim} has lost its volume.")
        modes = claim.spec.access_modes or []
        if not volume.read_only and SHARED not in modes and len(stack.pools) > 1:
            yield Finding(
                key,
                f"The claim {volume.claim} is {', '.join(modes)}: pods of several nodes cannot share "
                f"it, and all but one would wait. Use a storage class with {SHARED}.",
                "warns",
            )


def classes(stack: KubernetesStack, cluster: Cluster) -> Iterator[Finding]:
    """Priority and runtime classes that do not exist."""
    for name, pool in stack.pools.items():
        priority, runtime = pool.priority_class, pool.runtime_class
        key = f"pools.{name}"
        if priority is not None:
            read = cluster.scheduling.read_priority_class
            if found(read, priority) is None:
                yield Finding(
                    f"{key}.priority_class",
                    f"There is no priority class {priority}: its pods would be refused. "
                    "infra/kubernetes makes it: kubectl apply -k.",
                )
        if runtime is not None:
            read = cluster.runtimes.read_runtime_class
            if found(read, runtime) is None:
                yield Finding(f"{key}.runtime_class", _no_runtime(runtime, cluster))


def _no_runtime(name: str, cluster: Cluster) -> str:
    others = names(cluster.runtimes.list_runtime_class)
    near = closest(name, others)
    hint = f"Did you mean {near}?" if near else f"The cluster has: {', '.join(others) or 'none'}."
    return f"There is no runtime class {name}: its pods would be refused. {hint}"
