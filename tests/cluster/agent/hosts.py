"""What a pod is called, and the names it knows: all pods are processes of one machine."""

from tests.cluster.agent.node import HOST
from tests.cluster.api import Object

PEERS = 16
"""Pods of an Indexed Job that know each other by name."""


def host_name(pod: Object) -> str:
    """Its own, where the pod says one (an Indexed Job does), else the pod's."""
    return str(pod["spec"].get("hostname") or pod["metadata"]["name"])


def hosts_file(pod: Object) -> str:
    """Content of /etc/hosts: itself, and its peers below their headless service.

    In a cluster the service's addresses come by DNS; here each is this machine.
    """
    own, service = host_name(pod), pod["spec"].get("subdomain")
    lines = [f"{HOST} localhost {own}"]
    stem, dash, number = own.rpartition("-")
    if service and dash and number.isdigit():
        space = pod["metadata"]["namespace"]
        for peer in range(PEERS):
            name = f"{stem}-{peer}.{service}"
            lines.append(f"{HOST} {name} {name}.{space}.svc {name}.{space}.svc.cluster.local")
    return "\n".join([*lines, ""])
