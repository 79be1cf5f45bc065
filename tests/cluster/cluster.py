"""A control plane with nodes.

with cluster(folder, images(".+")) as ours, ours.nodes(NodeSpec("cpu-0")):
    ours.api.create("/apis/batch/v1/namespaces/default/jobs", job)
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tests.cluster.agent.agent import NodeAgent
from tests.cluster.agent.images import Images
from tests.cluster.agent.logs import LogServer
from tests.cluster.agent.node import GROUP, HOST, NodeSpec
from tests.cluster.agent.pod import Pod
from tests.cluster.api import Api, Object
from tests.cluster.plane import Plane, control_plane

T = TypeVar("T")
PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.2


class Cluster:
    """What tests ask of it."""

    def __init__(self, plane: Plane, images: Images) -> None:
        self.plane = plane
        self.api = Api(plane.admin)
        self._images = images
        self._agents: list[NodeAgent] = []
        self._made = 0
        served = plane.authority.server("nodes", [HOST])
        self._logs = LogServer(self._find, served, plane.authority.certificate)

    @property
    def agents(self) -> list[NodeAgent]:
        """Of the nodes that there are now."""
        return list(self._agents)

    def provide(self, space: str, name: str, folder: Path) -> None:
        """A claim and the volume that is bound to it: a folder that all nodes see.

        Args:
            space: namespace of the claim.
            name: of the claim; it may be there already.
            folder: made where it is not.
        """
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)
        claim = f"/api/v1/namespaces/{space}/persistentvolumeclaims"
        if self.api.find(f"{claim}/{name}") is None:
            self.api.create(claim, _claim(name))
        self.api.create("/api/v1/persistentvolumes", _volume(space, name, folder))
        wait_for(
            lambda: self.api.get(f"{claim}/{name}")["status"].get("phase") == "Bound",
            f"claim {name} to be bound",
        )

    @contextmanager
    def nodes(self, *specs: NodeSpec) -> Iterator[list[NodeAgent]]:
        """Nodes that are ready; they and their pods go with the block."""
        agents = [self._agent(spec) for spec in specs]
        self._agents += agents
        try:
            for agent in agents:
                agent.start()
            for spec in specs:
                wait_for(lambda spec=spec: self._takes_pods(spec), f"node {spec.name} to be ready")
            yield agents
        finally:
            for agent in agents:
                self._agents.remove(agent)
                agent.stop()
                self.api.delete(agent.spec.path)

    @contextmanager
    def namespace(self, name: str, labels: dict[str, str] | None = None) -> Iterator[str]:
        """A namespace that goes with the block, with everything in it, some seconds later."""
        body: Object = {"metadata": {"name": name, "labels": labels or {}}}
        path = f"/api/v1/namespaces/{name}"
        self.api.create("/api/v1/namespaces", body)
        wait_for(lambda: self.api.find(f"{path}/serviceaccounts/default"), f"{name}'s account")
        try:
            yield name
        finally:
            self.api.delete(path)

    def kill(self, item: Object) -> None:
        """End a pod's processes by force; its object stays, and says so."""
        about = item["metadata"]
        pod = self._find(about["namespace"], about["name"])
        assert pod is not None, f"no node runs {about['name']}"
        pod.crash()

    def stop(self) -> None:
        """Nodes first; the control plane is its maker's."""
        for agent in list(self._agents):
            agent.stop()
        self._logs.stop()

    def _agent(self, spec: NodeSpec) -> NodeAgent:
        self._made += 1
        api = Api(self.plane.kubeconfig(spec.user, GROUP))
        folder = self.plane.folder / "nodes" / f"{spec.name}-{self._made}"
        return NodeAgent(spec, api, self._images, folder, self._logs.port)

    def _find(self, namespace: str, name: str) -> Pod | None:
        found = (agent.pod(namespace, name) for agent in list(self._agents))
        return next((pod for pod in found if pod is not None), None)

    def _takes_pods(self, spec: NodeSpec) -> bool:
        node = self.api.find(spec.path)
        if node is None:
            return False
        keys = {taint["key"] for taint in node["spec"].get("taints", [])}
        conditions = node["status"].get("conditions", [])
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
        return ready and keys == {taint.key for taint in spec.taints}


@contextmanager
def cluster(folder: Path, images: Images) -> Iterator[Cluster]:
    """A control plane without nodes yet.

    Args:
        folder: for everything; must not exist.
        images: what pods run in.

    Raises:
        UnavailableError: if the control plane cannot be had here.
    """
    with control_plane(folder) as plane:
        ours = Cluster(plane, images)
        try:
            yield ours
        finally:
            ours.stop()


def _claim(name: str) -> Object:
    resources = {"requests": {"storage": "1Gi"}}
    spec = {"accessModes": ["ReadWriteMany"], "resources": resources, "storageClassName": ""}
    return {"metadata": {"name": name}, "spec": spec}


def _volume(space: str, name: str, folder: Path) -> Object:
    spec = {
        "capacity": {"storage": "10Ti"},
        "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
        "hostPath": {"path": str(folder)},
        "claimRef": {"namespace": space, "name": name},
    }
    return {"metadata": {"name": f"{space}-{name}"}, "spec": spec}


def wait_for(look: Callable[[], T | None], what: str, seconds: float = PATIENCE_SECONDS) -> T:
    """The first answer that is true.

    Raises:
        AssertionError: if there is none in time.
    """
    latest = time.monotonic() + seconds
    while time.monotonic() < latest:
        found = look()
        if found:
            return found
        time.sleep(LOOK_SECONDS)
    raise AssertionError(f"waited {seconds:.0f} s for {what}")
