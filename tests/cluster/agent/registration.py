"""A node is there and stays there: its object, and the signs of life without which its pods are moved."""

import threading
from collections.abc import Callable
from contextlib import suppress

import requests

from tests.cluster.agent.node import LEASES, NodeSpec
from tests.cluster.agent.times import exactly_now, now
from tests.cluster.api import CONFLICT, Api, ApiError

RENEW_SECONDS = 5.0
RETRY_SECONDS = 0.3


class Registration:
    """Keeps a node registered, in a thread of its own."""

    def __init__(self, api: Api, spec: NodeSpec, port: int, stopped: threading.Event) -> None:
        self._api, self._spec, self._port, self._stopped = api, spec, port, stopped
        self._thread = threading.Thread(target=self._live, name=f"node {spec.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _live(self) -> None:
        steps = (self._register, self._lease, self._renew)
        for step in steps:
            while not self._stopped.is_set() and not _done(step):
                self._stopped.wait(RETRY_SECONDS)
        while not self._stopped.wait(RENEW_SECONDS):
            _done(self._renew)

    def _register(self) -> None:
        self._create("/api/v1/nodes", self._spec.manifest())

    def _lease(self) -> None:
        self._create(LEASES, self._spec.lease(exactly_now()))

    def _renew(self) -> None:
        self._api.patch(f"{LEASES}/{self._spec.name}", self._spec.lease(exactly_now()))
        status = self._spec.status(self._port, now())
        self._api.patch(f"{self._spec.path}/status", {"status": status})

    def _create(self, path: str, body: dict[str, object]) -> None:
        try:
            self._api.create(path, body)
        except ApiError as error:
            if error.status != CONFLICT:
                raise


def _done(step: Callable[[], None]) -> bool:
    with suppress(ApiError, requests.RequestException):
        step()
        return True
    return False
