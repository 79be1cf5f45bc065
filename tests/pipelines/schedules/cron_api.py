"""An API server with CronJobs and secrets: real HTTP for ZenML's orchestrator and the real client."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.pipelines.stacks.api import Api, served
from tests.pipelines.stacks.objects import BATCH, EVENTS, PODS

CRON_JOBS = "/apis/batch/v1/namespaces/saga/cronjobs"


@dataclass
class CronApi:
    """What it has, and which calls fail."""

    api: Api
    cron_jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    failing: set[str] = field(default_factory=set)
    """Methods that are answered with 500."""
    looks: Any = None
    """Answers for the pod that looks at the image."""
    _numbers: Any = field(default_factory=itertools.count)

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """As an API server does, for the part that is asked for."""
        if method in self.failing:
            return 500, {"kind": "Status", "message": f"{method} is broken", "code": 500}
        if path.startswith((BATCH, PODS, EVENTS)):
            status: tuple[int, Any] = self.looks(method, path, body)
            return status
        if path == CRON_JOBS:
            return self._create(body) if method == "POST" else (200, self._list())
        name = path.removeprefix(f"{CRON_JOBS}/")
        if name not in self.cron_jobs:
            return 404, {"kind": "Status", "message": f"{path} not found", "code": 404}
        if method == "DELETE":
            return 200, self.cron_jobs.pop(name)
        if method == "PATCH":
            merge(self.cron_jobs[name], body)
        return 200, self.cron_jobs[name]

    def _create(self, body: dict[str, Any]) -> tuple[int, Any]:
        name = body["metadata"]["name"]
        assert len(name) <= 52, "a CronJob's name leaves room for the time of its Jobs"
        body["spec"].setdefault("suspend", False)
        body["metadata"]["uid"] = f"uid-{next(self._numbers)}"
        self.cron_jobs[name] = body
        return 201, body

    def _list(self) -> dict[str, Any]:
        items = list(self.cron_jobs.values())
        return {"kind": "CronJobList", "apiVersion": "batch/v1", "metadata": {}, "items": items}


def merge(old: dict[str, Any], new: dict[str, Any]) -> None:
    """A merge patch: null removes."""
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(key), dict):
            merge(old[key], value)
        elif value is None:
            old.pop(key, None)
        else:
            old[key] = value


@contextmanager
def served_cron_jobs() -> Iterator[CronApi]:
    """The server, for as long as the block runs."""
    with served() as api:
        ours = CronApi(api, looks=api.answer)
        api.answer = ours.answer  # type: ignore[method-assign]
        yield ours
