"""One node: takes the pods that the scheduler bound to it, and runs them."""

import threading
from pathlib import Path
from urllib.parse import urlsplit

import requests

from tests.cluster.agent.devices import Devices
from tests.cluster.agent.images import Images
from tests.cluster.agent.node import NodeSpec
from tests.cluster.agent.pod import Pod
from tests.cluster.agent.registration import Registration
from tests.cluster.api import Api, ApiError, Object

RETRY_SECONDS = 0.3
WATCH_SECONDS = 120
JOIN_SECONDS = 10.0


class NodeAgent:
    """Runs until it is stopped; an API server that does not answer is waited for, pods run on."""

    def __init__(self, spec: NodeSpec, api: Api, images: Images, folder: Path, port: int) -> None:
        """Nothing is started yet.

        Args:
            spec: the node.
            api: its way to the API server, as itself.
            images: what its pods run in.
            folder: for its pods' volumes and logs.
            port: where its logs are served.
        """
        self.spec, self.api, self.images, self.folder = spec, api, images, folder
        self.devices = Devices(spec.devices)
        self.stopped = threading.Event()
        self._pods: dict[str, Pod] = {}
        self._registration = Registration(api, spec, port, self.stopped)
        self._thread = threading.Thread(target=self._live, name=f"pods {spec.name}", daemon=True)

    def start(self) -> None:
        self.folder.mkdir(parents=True)
        self.folder.chmod(0o755)
        self._registration.start()
        self._thread.start()

    def stop(self) -> None:
        """End its pods; their objects stay for whoever deletes the node."""
        self.stopped.set()
        for pod in list(self._pods.values()):
            pod.vanish()
        for pod in list(self._pods.values()):
            pod.join(JOIN_SECONDS)

    def environment(self, devices: list[int]) -> dict[str, str]:
        """What every container gets.

        Args:
            devices: accelerators that are its pod's alone.
        """
        address, shown = urlsplit(self.api.server), ",".join(map(str, devices))
        return {
            "KUBERNETES_SERVICE_HOST": str(address.hostname),
            "KUBERNETES_SERVICE_PORT": str(address.port),
            "KUBERNETES_SERVICE_PORT_HTTPS": str(address.port),
            "CUDA_VISIBLE_DEVICES": shown,
            "NVIDIA_VISIBLE_DEVICES": shown or "void",
        }

    def pod(self, namespace: str, name: str) -> Pod | None:
        """A pod of this node by its name."""
        for pod in list(self._pods.values()):
            about = pod.item["metadata"]
            if (about["namespace"], about["name"]) == (namespace, name):
                return pod
        return None

    def _live(self) -> None:
        while not self.stopped.is_set():
            try:
                self._follow()
            except (ApiError, requests.RequestException, ValueError):  # half a line of a watch
                self.stopped.wait(RETRY_SECONDS)

    def _follow(self) -> None:
        ours = {"fieldSelector": f"spec.nodeName={self.spec.name}"}
        found = self.api.get("/api/v1/pods", **ours)
        self._compare(found["items"])
        version = found["metadata"]["resourceVersion"]
        for event in self.api.watch("/api/v1/pods", version, WATCH_SECONDS, **ours):
            if self.stopped.is_set() or event["type"] == "ERROR":
                return
            self._see(event["object"], gone=event["type"] == "DELETED")

    def _compare(self, items: list[Object]) -> None:
        """Also what happened while nobody watched."""
        there = {item["metadata"]["uid"] for item in items}
        for item in items:
            self._see(item, gone=False)
        for uid in set(self._pods) - there:
            self._pods.pop(uid).vanish()

    def _see(self, item: Object, *, gone: bool) -> None:
        about = item["metadata"]
        pod = self._pods.get(about["uid"])
        if gone:
            if pod is not None:
                self._pods.pop(about["uid"]).vanish()
            return
        if pod is None:
            if item.get("status", {}).get("phase") in ("Succeeded", "Failed"):
                return
            pod = self._pods[about["uid"]] = Pod(self, item)
            pod.start()
        if "deletionTimestamp" in about:
            pod.delete(float(about.get("deletionGracePeriodSeconds") or 0))
