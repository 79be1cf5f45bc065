"""Kubeflow Trainer's and JobSet's controllers, running beside a control plane.

    with controllers(plane): ...        TrainJobs become JobSets, Jobs and pods

Outside a cluster there is no Service and no mounted Secret: the API server asks both at 127.0.0.1, with
certificates of the tests' authority. Trainer insists on a folder below /tmp for its own certificate; it gets
a /tmp of its own.
"""

import json
import os
import shlex
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import requests
import yaml

from tests.cluster.api import Object
from tests.cluster.authority import Credential
from tests.cluster.manifests import run
from tests.cluster.plane import HOST, MASTERS, Plane
from tests.cluster.processes import Program, free_port
from tests.cluster.trainer.binaries import JOBSET, MANAGER, Controller, controllers_built
from tests.cluster.trainer.webhooks import bait, webhooks

SPACE = "kubeflow-system"
SECRET, CONFIGURATION = "kubeflow-trainer-webhook-cert", "validator.trainer.kubeflow.org"
"""Names that Trainer looks for."""
SERVING = "k8s-webhook-server/serving-certs"
START_SECONDS = 90.0


class Controllers:
    """Two programs and what they need of the cluster."""

    def __init__(self, plane: Plane, built: Path) -> None:
        self._plane, self._built = plane, built
        self.folder = plane.folder / "trainer"
        self.programs: list[Program] = []
        self._ports = {c.name: (free_port(), free_port()) for c in (JOBSET, MANAGER)}

    def start(self) -> None:
        """Install both and wait until they are asked.

        Raises:
            AssertionError: if one is not ready in time, with what it said last.
        """
        self.folder.mkdir(exist_ok=True)
        self._apply(*_spaces())
        crds = f"--filename={self._built / 'crds'}"
        for asked in (
            ("apply", "--server-side", crds),
            ("wait", "--for=condition=Established", "--timeout=60s", crds),
        ):
            made = run(self._plane.admin, *asked)
            assert made.returncode == 0, made.stderr
        self.programs = [self._jobset(), self._manager()]
        for program in self.programs:
            program.start()
        for controller, program in zip((JOBSET, MANAGER), self.programs):
            self._wait(controller, program)
        for controller in (JOBSET, MANAGER):
            self._apply(*self._webhooks(controller))

    def stop(self) -> None:
        """End both; nobody is asked any more."""
        for program in reversed(self.programs):
            program.stop()
        for controller in (JOBSET, MANAGER):
            for item in self._webhooks(controller):
                kind, name = item["kind"].lower(), item["metadata"]["name"]
                run(self._plane.admin, "delete", "--ignore-not-found", kind, name)

    def uninstall(self) -> None:
        """The custom resources too, with every object of them."""
        run(self._plane.admin, "delete", "--wait=true", f"--filename={self._built / 'crds'}")

    def _jobset(self) -> Program:
        port, health = self._ports[JOBSET.name]
        certificates = self.folder / "jobset-certificates"
        _lay(self._plane.authority.server("jobset-webhook", [HOST]), certificates)
        configuration = {
            "apiVersion": "config.jobset.x-k8s.io/v1alpha1",
            "kind": "Configuration",
            "webhook": {"host": HOST, "port": port, "certDir": str(certificates)},
            "metrics": {"bindAddress": "0"},
            "health": {"healthProbeBindAddress": f"{HOST}:{health}"},
            "leaderElection": {"leaderElect": False},
            "internalCertManagement": {"enable": False},
        }
        path = self.folder / "jobset.yaml"
        path.write_text(yaml.safe_dump(configuration))
        command = [self._built / JOBSET.name, f"--config={path}", "--metrics-bind-address=0"]
        kubeconfig = self._plane.kubeconfig("jobset-controller", MASTERS)
        return self._program(JOBSET, command, kubeconfig)

    def _manager(self) -> Program:
        port, health = self._ports[MANAGER.name]
        own = self.folder / "manager-tmp"
        _lay(self._plane.authority.server("trainer-webhook", [HOST]), own / SERVING)
        kubeconfig = own / "kubeconfig"
        shutil.copyfile(self._plane.kubeconfig("trainer-controller", MASTERS), kubeconfig)
        program = [
            self._built / MANAGER.name,
            f"--webhook-server-port={port}",
            f"--health-probe-bind-address={HOST}:{health}",
        ]
        lines = [
            "set -e",
            "mount --make-rprivate /",
            f"mount --bind {shlex.quote(str(own))} /tmp",
            f"exec {shlex.join(map(str, program))}",
        ]
        command = ["unshare", "--mount", "sh", "-c", "\n".join(lines)]
        return self._program(MANAGER, command, Path("/tmp/kubeconfig"))

    def _program(
        self, controller: Controller, command: Sequence[str | Path], kubeconfig: Path
    ) -> Program:
        environment = {"PATH": os.environ["PATH"], "KUBECONFIG": str(kubeconfig)}
        log = self._plane.folder / f"{controller.name}.log"
        return Program(controller.name, command, log, environment)

    def _webhooks(self, controller: Controller) -> list[Object]:
        port, _ = self._ports[controller.name]
        manifests = self._built / "webhooks" / f"{controller.name}.yaml"
        authority = self._plane.authority.certificate
        return webhooks(manifests, f"saga-{controller.name}", f"https://{HOST}:{port}", authority)

    def _apply(self, *items: Object) -> None:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        made = run(self._plane.admin, "apply", "--filename=-", given=text)
        assert made.returncode == 0, made.stderr

    def _wait(self, controller: Controller, program: Program) -> None:
        _, health = self._ports[controller.name]
        latest = time.monotonic() + START_SECONDS
        while time.monotonic() < latest and program.runs:
            try:
                if requests.get(f"http://{HOST}:{health}/readyz", timeout=5).ok:
                    return
            except requests.RequestException:
                pass
            time.sleep(0.2)
        raise AssertionError(f"{controller.name} is not ready:\n{program.last_words()}")


@contextmanager
def controllers(plane: Plane) -> Iterator[Controllers]:
    """Both controllers for as long as the block runs.

    Raises:
        UnavailableError: if they are not here and cannot be built.
    """
    ours = Controllers(plane, controllers_built())
    try:
        ours.start()
        yield ours
    finally:
        ours.stop()


def _spaces() -> list[Object]:
    """Trainer writes its own certificate into a Secret that must be there, and signs a configuration."""
    secret = {"metadata": {"name": SECRET, "namespace": SPACE}}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}},
        {"apiVersion": "v1", "kind": "Secret", **secret},
        bait(CONFIGURATION, SPACE),
    ]


def _lay(credential: Credential, folder: Path) -> None:
    """A certificate where a webhook's server looks for it."""
    folder.mkdir(parents=True)
    shutil.copyfile(credential.certificate, folder / "tls.crt")
    shutil.copyfile(credential.key, folder / "tls.key")
