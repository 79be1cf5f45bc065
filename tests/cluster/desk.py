"""`saga` on a cluster of the tests, called as its user calls it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tests.cluster.api import Object
from tests.cluster.authority import CONTEXT
from tests.cluster.cluster import Cluster, wait_for
from tests.cluster.jobs import IMAGE, jobs, pods
from tests.cluster.manifests import apply
from tests.cluster.naming import OURS, Naming

SAGA = Path(sys.executable).with_name("saga")
PROJECT = Path(__file__).parents[2]
CONFIG = PROJECT / "configs" / "ci-small.yaml"
T = TypeVar("T")
STEP, RUN = "step_name", "run_id"
KINDS = (
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ClusterRole",
    "ClusterRoleBinding",
    "PriorityClass",
)
RUN_SECONDS = 900.0


@dataclass(frozen=True)
class Ended:
    """A command that is over."""

    code: int
    out: str
    said: str
    """Progress, and what its pods said."""

    @property
    def summary(self) -> dict[str, Any]:
        """What --json wrote."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    def digest(self, artifact: str) -> str:
        """Of an artifact of the run."""
        return str(self.summary["artifacts"][artifact]["digest"])


class Command:
    """A command that runs."""

    def __init__(self, arguments: list[str], folder: Path, environment: dict[str, str]) -> None:
        number = len(list(folder.glob("command-*.out")))
        self._out = folder / f"command-{number}.out"
        self._said = folder / f"command-{number}.err"
        with self._out.open("w") as out, self._said.open("w") as said:
            self._process = subprocess.Popen(
                [SAGA, *arguments],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=said,
                umask=0,  # pods' users write into the same embedded database
                # A background shell's children ignore it.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )

    @property
    def said(self) -> str:
        """What it said so far."""
        return self._said.read_text(errors="replace")

    def until(self, look: Callable[[], T | None], what: str) -> T:
        """The first answer that is true, while the command runs."""

        def look_on() -> T | None:
            over = self._process.poll() is not None
            found = look()
            assert found or not over, f"the command ended before {what}:\n{self.said}"
            return found

        try:
            return wait_for(look_on, what, RUN_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{self.said}") from None

    def says(self, text: str) -> str:
        """What it said, as soon as that is in it."""
        return self.until(lambda: self.said if text in self.said else None, f"it says {text!r}")

    def interrupt(self) -> None:
        """Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def end(self) -> Ended:
        """Wait for it."""
        try:
            code = self._process.wait(RUN_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise AssertionError(f"it did not end:\n{self.said}") from None
        return Ended(code, self._out.read_text(), self.said)


@dataclass(frozen=True)
class Desk:
    """A folder in which one works: its own embedded ZenML, a namespace of a cluster, a submitter's rights."""

    cluster: Cluster
    space: str
    folder: Path
    kubeconfig: Path

    @property
    def cache(self) -> Path:
        """What all pods share."""
        return self.folder / "cache"

    def stack(self, name: str, naming: Naming = OURS, **changes: Any) -> Path:
        """A stack file.

        Args:
            name: of the stack.
            naming: what the cluster calls its pools.
            changes: of whole sections, by key.
        """
        found = {
            "name": name,
            "kind": "kubernetes",
            "cluster": {"context": CONTEXT, "namespace": self.space},
            "registry": {"uri": IMAGE.rpartition("/")[0]},
            "image": IMAGE,
            "cache": {"host_path": str(self.cache), "mount_path": "/cache"},
            "jobs": {"poll_seconds": 4, "stop_grace_seconds": 20},
        }
        path = self.folder / f"{name}.yaml"
        path.write_text(json.dumps(found | naming.stack() | changes))  # JSON is YAML
        return path

    def start(self, *arguments: str) -> Command:
        """A command, with the rights of a submitter."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("ZENML_", "SAGA_"))}
        environment = kept | {"KUBECONFIG": str(self.kubeconfig), "OMP_NUM_THREADS": "1"}
        return Command(list(arguments), self.folder, environment)

    def run(self, *arguments: str) -> Ended:
        """A command, to its end."""
        return self.start(*arguments).end()

    def pods(self, step: str | None = None) -> list[Object]:
        """Pods of a step, oldest first; None: all of the namespace."""
        found = self.cluster.api.get(pods(self.space))["items"]
        wanted = [pod for pod in found if step in (None, step_of(pod))]
        return sorted(wanted, key=lambda pod: pod["metadata"]["creationTimestamp"])

    def running(self, step: str, other: Object | None = None) -> Object | None:
        """A step's pod that runs; another than the one that is given."""
        known = None if other is None else other["metadata"]["uid"]
        found = [pod for pod in self.pods(step) if pod["metadata"]["uid"] != known]
        return next((pod for pod in found if pod["status"].get("phase") == "Running"), None)

    def again(self, pod: Object) -> Object:
        """A pod as it is now."""
        return self.cluster.api.get(f"{pods(self.space)}/{pod['metadata']['name']}")

    def jobs(self) -> list[Object]:
        """Jobs of the namespace."""
        found: list[Object] = self.cluster.api.get(jobs(self.space))["items"]
        return found

    def job(self, pod: Object) -> Object:
        """The Job of a pod."""
        return self.cluster.api.get(f"{jobs(self.space)}/{pod['metadata']['labels']['job-name']}")


@contextmanager
def desk_at(cluster: Cluster, space: str, folder: Path) -> Iterator[Desk]:
    """A place to work from, with the accounts and roles of infra/kubernetes."""
    with cluster.namespace(space):
        apply(cluster.plane.admin, "base", space, KINDS)
        accounts = f"system:serviceaccounts:{space}"
        user = f"system:serviceaccount:{space}:saga-submitter"
        kubeconfig = cluster.plane.kubeconfig(user, "system:serviceaccounts", accounts)
        folder.mkdir()
        (folder / "cache").mkdir()
        (folder / "cache").chmod(0o777)
        yield Desk(cluster, space, folder, kubeconfig)


def step_of(pod: Object) -> str:
    """The step that a pod runs; the orchestrator's has none."""
    return str(pod["metadata"]["labels"].get(STEP, "orchestrator"))


def accelerators(pod: Object) -> int:
    """How many a pod takes, whatever they are called."""
    limits = pod["spec"]["containers"][0]["resources"].get("limits", {})
    return sum(int(number) for name, number in limits.items() if "/" in name)
