"""One pod on a node, from its binding to its end."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import requests

from tests.cluster.agent import sandbox
from tests.cluster.agent.container import Process
from tests.cluster.agent.environment import ConfigError, environment
from tests.cluster.agent.hosts import host_name, hosts_file
from tests.cluster.agent.images import Image
from tests.cluster.agent.sandbox import Names
from tests.cluster.agent.status import (
    ContainerStatus,
    pod_status,
    running,
    terminated,
    waiting,
)
from tests.cluster.agent.times import now
from tests.cluster.agent.volumes import discard, mounts, prepare
from tests.cluster.api import CONFLICT, NOT_FOUND, ApiError, Object

if TYPE_CHECKING:
    from tests.cluster.agent.agent import NodeAgent

T = TypeVar("T")
RETRY_SECONDS = 0.3
RESTART_SECONDS = 1.0


class ImageError(ConfigError):
    """There is no such image."""


class DeletedError(Exception):
    """The pod was deleted before it started."""


class Pod:
    """Runs in a thread of its own; `delete` comes from another."""

    def __init__(self, agent: "NodeAgent", item: Object) -> None:
        self.item = item
        self._agent = agent
        self._deleted = threading.Event()
        self._gone = threading.Event()
        self._processes: list[Process] = []
        self._started = now()
        self._initial = self._waiting("initContainers")
        self._main = self._waiting("containers")
        self._places: dict[str, Path] = {}
        self._devices: list[int] = []
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._live, name=self.name, daemon=True)

    @property
    def name(self) -> str:
        return str(self.item["metadata"]["name"])

    @property
    def uid(self) -> str:
        return str(self.item["metadata"]["uid"])

    @property
    def path(self) -> str:
        """Of its object."""
        return f"/api/v1/namespaces/{self.item['metadata']['namespace']}/pods/{self.name}"

    @property
    def folder(self) -> Path:
        """What belongs to it alone."""
        return self._agent.folder / self.uid

    @property
    def has_ended(self) -> bool:
        """Whether all of its containers have ended."""
        return all(status.code is not None for status in self._main)

    def log(self, container: str) -> Path:
        """What a container said so far."""
        return self.folder / f"{container}.log"

    def start(self) -> None:
        self._thread.start()

    def delete(self, seconds: float) -> None:
        """Ask its processes to end, and end them after some seconds."""
        first = not self._deleted.is_set()
        self._deleted.set()
        if first or seconds == 0:
            threading.Thread(target=self._end, args=(seconds,), daemon=True).start()

    def vanish(self) -> None:
        """Its object is gone: nothing is left to be told."""
        self._gone.set()
        self.delete(0)

    def crash(self) -> None:
        """Its processes end by force, as when memory runs out."""
        self._end(0)

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _live(self) -> None:
        self.folder.mkdir(parents=True)
        self.folder.chmod(0o755)
        try:
            self._run()
        except DeletedError:
            self._over("Failed")
        finally:
            self._agent.devices.give_back(self._devices)
        if self._deleted.wait() and not self._gone.is_set():
            self._remove()
        discard(self.folder)

    def _run(self) -> None:
        self._devices = self._once_possible(self._take_devices)
        self._places = self._once_possible(lambda: prepare(self._agent.api, self.item, self.folder))
        for status in self._initial:
            if self._to_the_end(status) != 0:
                self._over("Failed")
                return
        threads = [
            threading.Thread(target=self._to_the_end, args=(status,), daemon=True)
            for status in self._main
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._over("Succeeded" if all(s.code == 0 for s in self._main) else "Failed")

    def _to_the_end(self, status: ContainerStatus) -> int:
        """Run a container, again where the pod says so; its last exit code."""
        while True:
            code = self._once(status)
            policy = self.item["spec"].get("restartPolicy", "Always")
            again = policy == "Always" and status in self._main
            if self._deleted.is_set() or not (again or (policy != "Never" and code != 0)):
                return code
            status.last, status.restarts = status.state, status.restarts + 1
            status.state = waiting("CrashLoopBackOff")
            self._tell("Running")
            self._deleted.wait(RESTART_SECONDS)

    def _once(self, status: ContainerStatus) -> int:
        try:
            command = self._once_possible(lambda: self._command(status.container), status)
        except DeletedError:
            status.state = terminated(-9, now())
            return 137
        with self._lock:  # a deletion sees every process, or the process sees the deletion
            process = Process(command, self.log(status.container["name"]))
            self._processes.append(process)
            if self._deleted.is_set():
                process.kill()
        started = now()
        status.state = running(started)
        self._tell("Running" if status in self._main else "Pending")
        status.state = terminated(process.wait(), started)
        return status.code or 0

    def _command(self, container: Object) -> list[str]:
        image = self._image(container)
        variables = environment(self._agent.api, self.item, container, image.environment)
        variables = self._agent.environment(self._devices) | variables
        started = sandbox.command(self.item, container, image)
        rights = sandbox.security(self.item, container, image)
        root = self.folder / f"{container['name']}.root"
        root.mkdir(exist_ok=True)
        names = self.folder / "hosts"
        names.write_text(hosts_file(self.item))
        return sandbox.isolated(
            root,
            Names(host_name(self.item), names),
            image,
            mounts(container, self._places),
            rights,
            sandbox.with_environment(image, container, variables, started),
        )

    def _image(self, container: Object) -> Image:
        image = self._agent.images(container["image"])
        if image is None:
            raise ImageError(f"no image {container['image']} on this node")
        return image

    def _take_devices(self) -> list[int]:
        wanted = sum(
            int(container.get("resources", {}).get("limits", {}).get(self._agent.spec.resource, 0))
            for container in self.item["spec"]["containers"]
        )
        taken = self._agent.devices.take(wanted)
        if taken is None:
            raise ConfigError(f"no {wanted} free of {self._agent.spec.resource}")
        return taken

    def _once_possible(self, make: Callable[[], T], status: ContainerStatus | None = None) -> T:
        """What `make` makes, as soon as it can; until then the pod waits and says why."""
        told = ""
        while not self._deleted.is_set():
            try:
                return make()
            except ImageError as error:
                reason, why = "ErrImagePull", str(error)
            except ConfigError as error:
                reason, why = "CreateContainerConfigError", str(error)
            except (ApiError, requests.RequestException) as error:
                reason, why = "ContainerCreating", str(error)
            if why != told:
                for waits in [status] if status else self._main:
                    waits.state = waiting(reason, why)
                self._tell("Pending")
                told = why
            self._deleted.wait(RETRY_SECONDS)
        raise DeletedError

    def _over(self, phase: str) -> None:
        """Tell the end; who never started is told as killed."""
        self._agent.devices.give_back(self._devices)
        self._devices = []
        for status in (*self._initial, *self._main):
            if status.code is None and self._deleted.is_set():
                status.state = terminated(-9, self._started)
        self._tell(phase)

    def _end(self, seconds: float) -> None:
        with self._lock:
            processes = list(self._processes)
        for process in processes:
            process.ask_to_end()
        latest = time.monotonic() + seconds
        while time.monotonic() < latest and any(not p.ended for p in processes):
            time.sleep(0.05)
        for process in processes:
            process.kill()

    def _tell(self, phase: str) -> None:
        status = pod_status(phase, self._started, self._initial, self._main)
        self._insist(lambda: self._agent.api.patch(f"{self.path}/status", {"status": status}))

    def _remove(self) -> None:
        """The last word of a node: the pod's object may go."""
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": self.uid}}
        self._insist(lambda: self._agent.api.delete(self.path, body))

    def _insist(self, call: Callable[[], object]) -> None:
        """Until the API server answers; an outage is waited for."""
        while not self._gone.is_set() and not self._agent.stopped.is_set():
            try:
                call()
                return
            except ApiError as error:
                if error.status in (NOT_FOUND, CONFLICT):
                    return
            except requests.RequestException:
                pass
            self._agent.stopped.wait(RETRY_SECONDS)

    def _waiting(self, kind: str) -> list[ContainerStatus]:
        containers = self.item["spec"].get(kind, [])
        return [ContainerStatus(item, waiting("ContainerCreating")) for item in containers]
