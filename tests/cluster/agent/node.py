"""A node: its name, what it has, who may run there."""

from dataclasses import dataclass, field

from tests.cluster.api import Object

GPU = "nvidia.com/gpu"
HOST = "127.0.0.1"
GROUP = "system:nodes"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
LEASE_SECONDS = 40


@dataclass(frozen=True, slots=True)
class Taint:
    """What keeps pods away that do not tolerate it."""

    key: str
    """Its key."""
    value: str = ""
    """Its value."""
    effect: str = "NoSchedule"
    """What it does."""


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One node; nothing of it is measured."""

    name: str
    """Its name."""
    labels: dict[str, str] = field(default_factory=dict)
    """Its labels."""
    taints: tuple[Taint, ...] = ()
    """Its taints."""
    cpu: str = "8"
    """Cores it says that it has."""
    memory: str = "64Gi"
    """Memory it says that it has."""
    pods: int = 50
    """Most pods at once."""
    devices: int = 0
    """Accelerators it says that it has."""
    resource: str = GPU
    """Their resource."""

    @property
    def user(self) -> str:
        """Who it is to the API server."""
        return f"system:node:{self.name}"

    @property
    def path(self) -> str:
        """Of its object."""
        return f"/api/v1/nodes/{self.name}"

    def capacity(self) -> dict[str, str]:
        """What it has."""
        has = {"cpu": self.cpu, "memory": self.memory, "pods": str(self.pods)}
        return has | ({self.resource: str(self.devices)} if self.devices else {})

    def manifest(self) -> Object:
        """As it is registered."""
        labels = {"kubernetes.io/hostname": self.name, "kubernetes.io/os": "linux"}
        taints = [{"key": t.key, "value": t.value, "effect": t.effect} for t in self.taints]
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.name, "labels": labels | self.labels},
            "spec": {"taints": taints},
        }

    def status(self, port: int, now: str) -> Object:
        """Alive, and where its logs are.

        Args:
            port: of the agent's server.
            now: the time, as the API writes it.
        """
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "AgentReady",
            "message": "runs pods as processes",
            "lastHeartbeatTime": now,
        }
        return {
            "capacity": self.capacity(),
            "allocatable": self.capacity(),
            "conditions": [ready],
            "addresses": [
                {"type": "InternalIP", "address": HOST},
                {"type": "Hostname", "address": self.name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }

    def lease(self, now: str) -> Object:
        """The sign of life."""
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self.name, "namespace": "kube-node-lease"},
            "spec": {
                "holderIdentity": self.name,
                "leaseDurationSeconds": LEASE_SECONDS,
                "renewTime": now,
            },
        }
