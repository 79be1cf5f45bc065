"""A pod's status, as the API server keeps it."""

from dataclasses import dataclass

from tests.cluster.agent.node import HOST
from tests.cluster.agent.times import now
from tests.cluster.api import Object

SIGNALLED = 128


@dataclass
class ContainerStatus:
    """One container."""

    container: Object
    """Its part of the pod's specification."""
    state: Object
    """waiting, running or terminated."""
    restarts: int = 0
    """How often it was started again."""
    last: Object | None = None
    """How it ended before."""

    @property
    def code(self) -> int | None:
        """Its exit code; None where it has not ended."""
        ended = self.state.get("terminated")
        return None if ended is None else int(ended["exitCode"])

    def to_dict(self) -> Object:
        """As the API has it."""
        running, image = "running" in self.state, self.container["image"]
        return {
            "name": self.container["name"],
            "image": image,
            "imageID": f"process://{image}",
            "containerID": f"process://{self.container['name']}",
            "ready": running,
            "started": running,
            "restartCount": self.restarts,
            "state": self.state,
            "lastState": self.last or {},
        }


def waiting(reason: str, message: str = "") -> Object:
    """Not started, and why."""
    return {"waiting": {"reason": reason} | ({"message": message} if message else {})}


def running(started: str) -> Object:
    """Since when."""
    return {"running": {"startedAt": started}}


def terminated(code: int, started: str) -> Object:
    """How a process ended.

    Args:
        code: as Python has it: negative for a signal.
        started: when it was.
    """
    shown = SIGNALLED - code if code < 0 else code
    reason = "Completed" if shown == 0 else "Error"
    return {
        "terminated": {
            "exitCode": shown,
            "reason": reason,
            "startedAt": started,
            "finishedAt": now(),
        }
    }


def pod_status(
    phase: str, started: str, initial: list[ContainerStatus], main: list[ContainerStatus]
) -> Object:
    """A pod's status; conditions that others set are not touched.

    Args:
        phase: of the pod.
        started: when the node took it.
        initial: containers that run before.
        main: its containers.
    """
    ready = phase == "Running" and all("running" in status.state for status in main)
    initialized = all(status.code == 0 for status in initial)
    over = {"reason": "PodCompleted"} if phase in ("Succeeded", "Failed") else {}
    return {
        "phase": phase,
        "startTime": started,
        "hostIP": HOST,
        "podIP": HOST,
        "podIPs": [{"ip": HOST}],
        "conditions": [
            _condition("PodReadyToStartContainers", True),
            _condition("Initialized", initialized),
            _condition("ContainersReady", ready) | over,
            _condition("Ready", ready) | over,
        ],
        "initContainerStatuses": [status.to_dict() for status in initial],
        "containerStatuses": [status.to_dict() for status in main],
    }


def _condition(kind: str, holds: bool) -> Object:
    return {"type": kind, "status": str(holds), "lastTransitionTime": now()}
