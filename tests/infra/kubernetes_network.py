"""Where network policies let a pod go: a small reading of their semantics.

A direction that any policy names for a pod is closed but for what the policies of that pod open.
"""

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from tests.infra.kubernetes_manifests import Manifest

Labels = dict[str, str]


@dataclass(frozen=True)
class Peer:
    """The other end: a pod, or an address outside the cluster."""

    namespace: str = ""
    """Its namespace; empty for an address."""
    labels: tuple[tuple[str, str], ...] = ()
    """Of the pod."""
    namespace_labels: tuple[tuple[str, str], ...] = ()
    """Of the namespace, beside its name."""
    address: str = ""
    """Of what is outside."""


def may(
    made: list[Manifest],
    direction: str,
    pod: Labels,
    peer: Peer,
    port: int,
    protocol: str = "TCP",
    namespace: str = "saga",
) -> bool:
    """Whether a pod of the namespace may be reached by (Ingress) or reach (Egress) the peer."""
    policies = [
        item["spec"]
        for item in made
        if item["kind"] == "NetworkPolicy"
        and item["metadata"]["namespace"] == namespace
        and direction in item["spec"]["policyTypes"]
        and selects(item["spec"]["podSelector"], pod)
    ]
    way, end = ("egress", "to") if direction == "Egress" else ("ingress", "from")
    return not policies or any(
        _covers(rule, end, namespace, peer, port, protocol)
        for policy in policies
        for rule in policy.get(way, ())
    )


def selects(selector: Manifest, labels: Labels) -> bool:
    """Whether a label selector fits."""
    wanted = selector.get("matchLabels", {})
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _fits(term, labels) for term in selector.get("matchExpressions", ())
    )


def _fits(term: Manifest, labels: Labels) -> bool:
    value = labels.get(term["key"])
    return {
        "Exists": value is not None,
        "DoesNotExist": value is None,
        "In": value in term.get("values", ()),
        "NotIn": value not in term.get("values", ()),
    }[term["operator"]]


def _covers(rule: Manifest, end: str, namespace: str, peer: Peer, port: int, protocol: str) -> bool:
    ports = rule.get("ports")
    through = ports is None or any(
        (one.get("protocol", "TCP"), one["port"]) == (protocol, port) for one in ports
    )
    peers = rule.get(end)
    return through and (peers is None or any(_is(one, namespace, peer) for one in peers))


def _is(one: Manifest, namespace: str, peer: Peer) -> bool:
    if "ipBlock" in one:
        return bool(peer.address) and _within(one["ipBlock"], peer.address)
    if not peer.namespace:
        return False
    names: Any = {"kubernetes.io/metadata.name": peer.namespace, **dict(peer.namespace_labels)}
    there = (
        selects(one["namespaceSelector"], names)
        if "namespaceSelector" in one
        else peer.namespace == namespace
    )
    return there and selects(one.get("podSelector", {}), dict(peer.labels))


def _within(block: Manifest, address: str) -> bool:
    place = ip_address(address)
    return place in ip_network(block["cidr"]) and not any(
        place in ip_network(hole) for hole in block.get("except", ())
    )
