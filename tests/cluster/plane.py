"""A Kubernetes control plane on loopback: etcd, API server, controllers and scheduler, without nodes.

    with control_plane(folder) as plane:
        Api(plane.admin).get("/api/v1/namespaces")

Nothing listens beyond 127.0.0.1, and keys live as long as the folder. Nodes come from tests/cluster/agent.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import requests

from tests.cluster.api import Api, ApiError
from tests.cluster.authority import Authority, Credential
from tests.cluster.controlplane.binaries import control_plane_binaries
from tests.cluster.processes import Program, free_port

HOST = "127.0.0.1"
SERVICES = "10.96.0.0/16"
FIRST_SERVICE = "10.96.0.1"
ISSUER = "https://kubernetes.default.svc"
START_SECONDS = 90.0
MASTERS = "system:masters"


class Plane:
    """Four programs and the keys between them."""

    def __init__(self, folder: Path, binaries: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder / "keys")
        self.port = free_port()
        self._binaries = binaries
        self._etcd_port, self._peer_port = free_port(), free_port()
        self.admin = self.kubeconfig("saga-test-admin", MASTERS)
        self._etcd = self._program("etcd", self._etcd_flags())
        self._api_server = self._program("kube-apiserver", self._api_server_flags())
        self._followers = [
            self._program("kube-controller-manager", self._manager_flags()),
            self._program("kube-scheduler", self._scheduler_flags()),
        ]

    @property
    def server(self) -> str:
        """Address of the API server."""
        return f"https://{HOST}:{self.port}"

    @property
    def programs(self) -> list[Program]:
        """All of it, in the order of starting."""
        return [self._etcd, self._api_server, *self._followers]

    def kubeconfig(self, user: str, *groups: str) -> Path:
        """A kubeconfig of any user."""
        return self.authority.kubeconfig(self.server, user, *groups)

    def start(self) -> None:
        """Start everything and wait until pods could be made.

        Raises:
            AssertionError: if a program ends or is not ready in time, with what it said last.
        """
        self._etcd.start()
        self._start_api_server()
        for program in self._followers:
            program.start()
        # Controllers make it; without it the API server refuses pods.
        self._wait(self._followers[0], self._has_default_account)

    def stop(self) -> None:
        """End everything; what was started last ends first."""
        with ExitStack() as stack:  # the others are stopped too where one does not want to
            for program in self.programs:
                stack.callback(program.stop)

    def stop_api_server(self) -> None:
        """An outage: connections are refused until it is started again."""
        self._api_server.stop()

    def start_api_server(self) -> None:
        """The end of an outage."""
        self._start_api_server()

    def restart_api_server(self, seconds: float = 0.0) -> None:
        """An outage of some length; waits until the server is ready again."""
        self.stop_api_server()
        time.sleep(seconds)
        self.start_api_server()

    def _start_api_server(self) -> None:
        self._api_server.start()
        self._wait(self._api_server, self._ready)

    def _ready(self) -> bool:
        return Api(self.admin).text("/readyz") == "ok"

    def _has_default_account(self) -> bool:
        found = Api(self.admin).find("/api/v1/namespaces/default/serviceaccounts/default")
        return found is not None

    def _wait(self, program: Program, ready: Callable[[], bool]) -> None:
        latest = time.monotonic() + START_SECONDS
        while time.monotonic() < latest and program.runs:
            try:
                if ready():
                    return
            except (ApiError, requests.RequestException):
                pass
            time.sleep(0.2)
        raise AssertionError(f"{program.name} is not ready:\n{program.last_words()}")

    def _program(self, name: str, flags: dict[str, str | Path]) -> Program:
        command = [self._binaries / name, *(f"--{key}={value}" for key, value in flags.items())]
        return Program(name, command, self.folder / f"{name}.log", _environment())

    def _etcd_flags(self) -> dict[str, str | Path]:
        clients, peers = f"http://{HOST}:{self._etcd_port}", f"http://{HOST}:{self._peer_port}"
        return {
            "name": "saga-test",
            "data-dir": self.folder / "etcd",
            "listen-client-urls": clients,
            "advertise-client-urls": clients,
            "listen-peer-urls": peers,
            "initial-advertise-peer-urls": peers,
            "initial-cluster": f"saga-test={peers}",
            "unsafe-no-fsync": "true",
            "log-level": "warn",
        }

    def _api_server_flags(self) -> dict[str, str | Path]:
        names = [HOST, FIRST_SERVICE, "localhost", "kubernetes", "kubernetes.default.svc"]
        server, tokens = self.authority.server("kube-apiserver", names), self._tokens()
        to_nodes = self.authority.client("kube-apiserver-kubelet-client", MASTERS)
        return {
            "etcd-servers": f"http://{HOST}:{self._etcd_port}",
            "bind-address": HOST,
            "advertise-address": HOST,
            "secure-port": str(self.port),
            "cert-dir": self.folder / "generated",
            "tls-cert-file": server.certificate,
            "tls-private-key-file": server.key,
            "client-ca-file": self.authority.certificate,
            "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
            "service-cluster-ip-range": SERVICES,
            "service-account-issuer": ISSUER,
            "service-account-signing-key-file": tokens.key,
            "service-account-key-file": tokens.certificate,
            "api-audiences": ISSUER,
            "kubelet-preferred-address-types": "InternalIP",
            "kubelet-certificate-authority": self.authority.certificate,
            "kubelet-client-certificate": to_nodes.certificate,
            "kubelet-client-key": to_nodes.key,
            "allow-privileged": "true",
            "endpoint-reconciler-type": "none",
            "shutdown-delay-duration": "0s",
        }

    def _manager_flags(self) -> dict[str, str | Path]:
        return {
            "kubeconfig": self.kubeconfig("system:kube-controller-manager"),
            "bind-address": HOST,
            "secure-port": str(free_port()),
            "cert-dir": self.folder / "generated",
            "use-service-account-credentials": "true",
            "service-account-private-key-file": self._tokens().key,
            "root-ca-file": self.authority.certificate,
            "leader-elect": "false",
            "concurrent-job-syncs": "5",
        }

    def _scheduler_flags(self) -> dict[str, str | Path]:
        return {
            "kubeconfig": self.kubeconfig("system:kube-scheduler"),
            "bind-address": HOST,
            "secure-port": str(free_port()),
            "cert-dir": self.folder / "generated",
            "leader-elect": "false",
        }

    def _tokens(self) -> Credential:
        if not hasattr(self, "_signing_key"):
            self._signing_key = self.authority.signing_key()
        return self._signing_key


@contextmanager
def control_plane(folder: Path) -> Iterator[Plane]:
    """A running control plane.

    Args:
        folder: for keys, data and logs; must not exist.

    Raises:
        UnavailableError: if its programs are not here and cannot be built.
    """
    plane = Plane(folder, control_plane_binaries())
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()


def _environment() -> dict[str, str]:
    """Nothing of ours: no proxies, no kubeconfig."""
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
