"""Do the pools' nodes exist, would they take the pods, and does the quota leave room?"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from pipelines.stacks.checks.finding import Finding, Level
from pipelines.stacks.cluster import Cluster
from pipelines.stacks.configuration import KubernetesStack, known_steps
from pipelines.stacks.pool import PoolConfig
from pipelines.stacks.pools import ORCHESTRATOR, resources
from pipelines.stacks.quantity import amount

REPELS = ("NoSchedule", "NoExecute")
PASSING = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")
"""Taints that the cluster itself puts and removes."""


def used_pools(stack: KubernetesStack) -> dict[str, PoolConfig]:
    """Pools that a step or the orchestrator runs on."""
    names = {stack.default_pool, *(stack.pool_of(step) for step in known_steps())}
    return {name: pool for name, pool in stack.pools.items() if name in names}


def nodes(stack: KubernetesStack, cluster: Cluster) -> Iterator[Finding]:
    """Pools without a node that would take their pod."""
    there = cluster.core.list_node().items
    for name, pool in stack.pools.items():
        level: Level = "blocks" if name in used_pools(stack) else "warns"
        for finding in pool_findings(name, pool, there):
            yield (
                finding
                if finding.level == "tells"
                else Finding(finding.key, finding.message, level)
            )


def pool_findings(name: str, pool: PoolConfig, there: Sequence[Any]) -> Iterator[Finding]:
    """What keeps a pool's pod from every node.

    Args:
        name: of the pool.
        pool: its settings.
        there: the cluster's nodes.
    """
    key = f"pools.{name}"
    ours = [node for node in there if has(node.metadata.labels or {}, pool.labels)]
    if not ours:
        yield _no_node(name, pool, there)
        return
    open_to_us = [node for node in ours if not repelling(node, pool)]
    if not open_to_us:
        taints = sorted({text for node in ours for text in repelling(node, pool)})
        yield Finding(
            f"{key}.taints",
            f"Its {len(ours)} nodes have taints that the pool does not name: {', '.join(taints)}. "
            "Add them to taints.",
        )
        return
    ready = [node for node in open_to_us if usable(node)]
    if not ready:
        names = ", ".join(node.metadata.name for node in open_to_us[:5])
        yield Finding(f"{key}.labels", f"No node of it is ready or takes pods: {names}.")
        return
    yield from _too_small(key, pool, ready)


def has(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether labels hold all that are wanted."""
    return all(labels.get(name) == value for name, value in wanted.items())


def repelling(node: Any, pool: PoolConfig) -> list[str]:
    """A node's taints that the pool's pods do not tolerate."""
    return [
        f"{taint.key}={taint.value or ''}:{taint.effect}"
        for taint in node.spec.taints or []
        if taint.effect in REPELS
        and not taint.key.startswith(PASSING)
        and not any(_tolerates(ours, taint) for ours in pool.taints)
    ]


def usable(node: Any) -> bool:
    """Whether a node is ready and not closed."""
    conditions = node.status.conditions or []
    ready = any(c.type == "Ready" and c.status == "True" for c in conditions)
    return ready and not node.spec.unschedulable


def need(pool: PoolConfig) -> dict[str, Decimal]:
    """What a pod of the pool asks for."""
    return {name: amount(text) for name, text in resources(pool)["requests"].items()}


def quota(stack: KubernetesStack, cluster: Cluster) -> Iterator[Finding]:
    """Quotas that a pool's pod cannot fit into, ever or now."""
    quotas = cluster.core.list_namespaced_resource_quota(cluster.namespace).items
    room = amount(resources(ORCHESTRATOR)["requests"]["memory"])
    for name, pool in used_pools(stack).items():
        for entry in quotas:
            yield from _against(entry, name, pool, room)


def _against(entry: Any, name: str, pool: PoolConfig, orchestrator: Decimal) -> Iterator[Finding]:
    hard, used = entry.status.hard or entry.spec.hard or {}, entry.status.used or {}
    for resource, wanted in _counted(pool).items():
        if resource not in hard:
            continue
        limit, taken = amount(hard[resource]), amount(used.get(resource, "0"))
        key = f"pools.{name}.{_setting(resource)}"
        beside = orchestrator if resource.endswith("memory") else Decimal(0)
        asked = f"A pod asks for {_plain(wanted)} of {resource}"
        of = f"the quota {entry.metadata.name} of {entry.metadata.namespace}"
        if wanted + beside > limit:
            yield Finding(key, f"{asked}, but {of} allows {hard[resource]} in all.")
        elif wanted > limit - taken:
            now = f"{asked}, but {of} has {_plain(limit - taken)} of {hard[resource]} left now"
            yield Finding(key, f"{now}: its steps will wait.", "warns")


def _counted(pool: PoolConfig) -> dict[str, Decimal]:
    """A pod as a quota counts it."""
    given = resources(pool)
    counted = {"pods": Decimal(1)}
    for kind in ("requests", "limits"):
        for name, text in given[kind].items():
            if "/" not in name or kind == "requests":  # quotas count devices by requests alone
                counted[f"{kind}.{name}"] = amount(text)
    return counted | {name: counted[f"requests.{name}"] for name in ("cpu", "memory")}


def _setting(resource: str) -> str:
    """The pool's setting that a resource comes from."""
    if "/" in resource:
        return "accelerator.count"
    last = resource.removeprefix("requests.").removeprefix("limits.")
    if last == "cpu":
        return "cores_limit" if resource.startswith("limits.") else "cores"
    return last if last == "memory" else "labels"


def _no_node(name: str, pool: PoolConfig, there: Sequence[Any]) -> Finding:
    wanted = ", ".join(f"{key}={value}" for key, value in pool.labels.items())
    others = sorted(
        {
            f"{key}={(node.metadata.labels or {})[key]}"
            for node in there
            for key in pool.labels
            if key in (node.metadata.labels or {})
        }
    )
    if pool.may_be_empty:
        message = (
            f"No node has {wanted} now; the pool may be empty, a step waits for a node to start."
        )
        return Finding(f"pools.{name}.labels", message, "tells")
    seen = f"Nodes have {', '.join(others)}." if others else "No node has a label of that name."
    return Finding(
        f"pools.{name}.labels",
        f"No node has {wanted}. {seen} Label the nodes, name other labels, or set may_be_empty: true "
        "for a pool that is scaled to zero.",
    )


def _too_small(key: str, pool: PoolConfig, ready: Sequence[Any]) -> Iterator[Finding]:
    """What no single node has enough of."""
    asked = need(pool)
    if any(_fits(node, asked) for node in ready):
        return
    told = False
    for name, wanted in asked.items():
        most = max(amount((node.status.allocatable or {}).get(name, "0")) for node in ready)
        if most < wanted:
            told = True
            yield Finding(
                f"{key}.{_setting(name)}",
                f"A pod asks for {_plain(wanted)} of {name}; the largest of its {len(ready)} nodes "
                f"has {_plain(most)}.{_hint(name, most)}",
            )
    if not told:
        yield Finding(key, f"No single one of its {len(ready)} nodes has all that a pod asks for.")


def _fits(node: Any, asked: Mapping[str, Decimal]) -> bool:
    there = node.status.allocatable or {}
    return all(amount(there.get(name, "0")) >= wanted for name, wanted in asked.items())


def _hint(name: str, most: Decimal) -> str:
    if "/" not in name or most > 0:
        return ""
    return f" Is the device plugin that offers {name} running?"


def _tolerates(ours: Any, taint: Any) -> bool:
    same = ours.key == taint.key and ours.effect == taint.effect
    return same and (ours.value is None or ours.value == (taint.value or ""))


def _plain(number: Decimal) -> str:
    """A number of pieces, cores or bytes."""
    if number >= 2**20:
        return f"{float(number) / 2**30:.4g}Gi"
    return f"{float(number):g}"
