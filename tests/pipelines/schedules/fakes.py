"""A cluster and a ZenML that behave as ZenML 0.98 was seen to; calls fail where a test says so."""

import itertools
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from kubernetes.client import ApiException
from zenml.exceptions import EntityExistsError

from pipelines.schedules.cronjobs import DIGEST, TOKEN, CronJobs
from pipelines.schedules.kubernetes import INERT, KubernetesScheduler
from pipelines.schedules.rows import Rows

ORCHESTRATOR = "orchestrator-1"
PIPELINE = "train-and-judge"


class Killed(BaseException):
    """The process is gone: nothing more reaches the cluster."""


@dataclass
class Wire:
    """Counts calls that change something, and lets one of them fail."""

    calls: list[str] = field(default_factory=list)
    fail_at: int | None = None
    kill_at: int | None = None

    def call(self, what: str) -> None:
        self.calls.append(what)
        if self.kill_at is not None and len(self.calls) >= self.kill_at:
            raise Killed(what)
        if self.fail_at == len(self.calls):
            raise refusal(500, "Internal Server Error", f"{what} failed")


def refusal(status: int, reason: str, message: str) -> ApiException:
    error = ApiException(status=status, reason=reason)
    error.body = json.dumps({"message": message})
    return error


@dataclass
class FakeCluster:
    """CronJobs and secrets of one namespace, as the Kubernetes client shows them."""

    wire: Wire = field(default_factory=Wire)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    secrets: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    keeps_zones: bool = True
    deletions: list[tuple[str, str | None]] = field(default_factory=list)
    _numbers: Any = field(default_factory=itertools.count)

    def create(self, name: str, spec: dict[str, Any], secret: str | None = None) -> None:
        self.wire.call(f"create {name}")
        defaults = {"concurrencyPolicy": "Allow", "suspend": False, "timeZone": None}
        limits = {"successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1}
        whole = defaults | limits | {"startingDeadlineSeconds": None} | spec
        uid = f"uid-{next(self._numbers)}"
        self.jobs[name] = {
            "spec": whole,
            "annotations": None,
            "uid": uid,
            "active": [],
            "secret": secret,
        }
        if secret:
            self.secrets[secret] = []

    def read_namespaced_cron_job(self, name: str, namespace: str) -> Any:
        if name not in self.jobs:
            raise refusal(404, "Not Found", f"{name} not found")
        return self._model(name)

    def list_namespaced_cron_job(self, namespace: str) -> Any:
        return SimpleNamespace(items=[self._model(name) for name in self.jobs])

    def patch_namespaced_cron_job(self, name: str, namespace: str, body: dict[str, Any]) -> Any:
        self.wire.call(f"patch {name}")
        if name not in self.jobs:
            raise refusal(404, "Not Found", f"{name} not found")
        spec = dict(body["spec"])
        if not self.keeps_zones:
            spec.pop("timeZone", None)
        self.jobs[name]["spec"] |= spec
        if "metadata" in body:
            old = self.jobs[name]["annotations"] or {}
            self.jobs[name]["annotations"] = old | body["metadata"]["annotations"]
        return self._model(name)

    def delete_namespaced_cron_job(
        self, name: str, namespace: str, propagation_policy: str | None = None
    ) -> None:
        self.wire.call(f"delete {name}")
        if name not in self.jobs:
            raise refusal(404, "Not Found", f"{name} not found")
        uid = self.jobs.pop(name)["uid"]
        self.deletions.append((name, propagation_policy))
        for secret, owners in list(self.secrets.items()):
            kept = [owner for owner in owners if owner["uid"] != uid]
            if owners and not kept:
                del self.secrets[secret]  # the garbage collector
            else:
                self.secrets[secret] = kept

    def patch_namespaced_secret(self, name: str, namespace: str, body: dict[str, Any]) -> None:
        self.wire.call(f"own {name}")
        if name not in self.secrets:
            raise refusal(404, "Not Found", f"{name} not found")
        merged = {owner["uid"]: owner for owner in self.secrets[name]}
        merged |= {owner["uid"]: owner for owner in body["metadata"]["ownerReferences"]}
        self.secrets[name] = list(merged.values())

    def live(self) -> list[str]:
        """Those that would start runs."""
        return [
            name
            for name, job in self.jobs.items()
            if not job["spec"]["suspend"] and job["spec"]["schedule"] != INERT
        ]

    def _model(self, name: str) -> Any:
        job = self.jobs[name]
        spec = job["spec"]
        reference = SimpleNamespace(secret_key_ref=SimpleNamespace(name=job["secret"]))
        token = SimpleNamespace(name=TOKEN, value_from=reference)
        container = SimpleNamespace(env=[token] if job["secret"] else None)
        pod = SimpleNamespace(spec=SimpleNamespace(containers=[container]))
        return SimpleNamespace(
            metadata=SimpleNamespace(name=name, uid=job["uid"], annotations=job["annotations"]),
            spec=SimpleNamespace(
                schedule=spec["schedule"],
                time_zone=spec["timeZone"],
                suspend=spec["suspend"],
                concurrency_policy=spec["concurrencyPolicy"],
                starting_deadline_seconds=spec["startingDeadlineSeconds"],
                successful_jobs_history_limit=spec["successfulJobsHistoryLimit"],
                failed_jobs_history_limit=spec["failedJobsHistoryLimit"],
                job_template=SimpleNamespace(spec=SimpleNamespace(template=pod)),
            ),
            status=SimpleNamespace(
                active=[SimpleNamespace(name=n, uid=f"uid-{n}") for n in job["active"]]
            ),
        )


class FakeZenML:
    """Schedules as `zenml.client.Client` keeps them, its errors included."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster
        self.rows: dict[int, SimpleNamespace] = {}
        self.runs: list[SimpleNamespace] = []
        self._numbers = itertools.count()

    @property
    def zen_store(self) -> "FakeZenML._Store":
        return self._Store(self)

    class _Store:
        def __init__(self, zenml: "FakeZenML") -> None:
            self._zenml = zenml

        def update_schedule(self, schedule_id: int, schedule_update: Any) -> None:
            self._zenml.cluster.wire.call(f"rename to {schedule_update.name}")
            self._zenml.rows[schedule_id].name = schedule_update.name

    def create(self, name: str, cron: str, orchestrator: str = ORCHESTRATOR) -> SimpleNamespace:
        """A cron expression is not looked at; a name is taken once."""
        self.cluster.wire.call(f"row {name}")
        if any(row.name == name for row in self.rows.values()):
            raise EntityExistsError(name)
        row = SimpleNamespace(
            id=next(self._numbers),
            name=name,
            cron_expression=cron,
            active=True,
            run_metadata={},
            orchestrator_id=orchestrator,
        )
        self.rows[row.id] = row
        return row

    def list_schedules(
        self,
        size: int,
        hydrate: bool,
        name: str | None = None,
        orchestrator_id: str | None = None,
    ) -> Any:
        wanted = name.removeprefix("equals:") if name else None
        found = [
            row
            for row in self.rows.values()
            if wanted in (None, row.name) and orchestrator_id in (None, row.orchestrator_id)
        ]
        return SimpleNamespace(items=found)

    def update_schedule(
        self, schedule_id: int, cron_expression: str | None = None, active: bool | None = None
    ) -> None:
        row = self.rows[schedule_id]
        if row.active == active:
            return  # ZenML leaves out the cron expression too
        spec: dict[str, Any] = {"schedule": cron_expression} if cron_expression else {}
        if active is not None:
            spec["suspend"] = not active
        name = row.run_metadata["cron_job_name"]
        self.cluster.patch_namespaced_cron_job(name, "saga", {"spec": spec})
        self.cluster.wire.call(f"update {row.name}")
        row.cron_expression = cron_expression or row.cron_expression
        row.active = row.active if active is None else active

    def delete_schedule(self, schedule_id: int, soft: bool) -> None:
        assert not soft, "a soft deletion leaves an archived row"
        self.cluster.wire.call(f"drop {self.rows[schedule_id].name}")
        del self.rows[schedule_id]

    def list_pipeline_runs(self, name: str, sort_by: str, size: int) -> Any:
        assert sort_by == "desc:created"
        prefix = name.removeprefix("startswith:")
        runs = [run for run in self.runs if run.name.startswith(prefix)]
        return SimpleNamespace(items=sorted(runs, key=lambda r: r.created, reverse=True)[:size])

    def run(self, name: str, status: str, day: int) -> None:
        """A run that began on a day of November 2026."""
        at = datetime(2026, 11, day, 4, 0, tzinfo=UTC)
        run = f"{name}-2026_11_{day}-04_00_03_123456"
        self.runs.append(SimpleNamespace(name=run, status=status, created=at))


@dataclass
class FakeSubmission:
    """Makes row and CronJob as ZenML's orchestrator does."""

    zenml: FakeZenML
    digest: str
    token: bool = False
    loses_metadata: bool = False

    def submit(self, name: str, cron: str) -> None:
        row = self.zenml.create(name, cron)
        number = f"{next(NUMBERS):08x}"
        job, secret = f"{name}-{number}-{PIPELINE}", f"zenml-token-{number}"
        self.zenml.cluster.create(job, {"schedule": cron}, secret if self.token else None)
        if not self.loses_metadata:  # ZenML swallows the error
            row.run_metadata["cron_job_name"] = job


NUMBERS = itertools.count(0xA0)


@dataclass
class World:
    """A cluster, a ZenML and what would be submitted."""

    cluster: FakeCluster = field(default_factory=FakeCluster)
    digest: str = "digest-1"
    token: bool = False
    """Whether pods get ZenML's token from a secret, one a snapshot."""
    loses_metadata: bool = False

    def __post_init__(self) -> None:
        self.zenml = FakeZenML(self.cluster)

    @property
    def wire(self) -> Wire:
        return self.cluster.wire

    def scheduler(self) -> KubernetesScheduler:
        """A scheduler of a new process."""
        rows = Rows(self.zenml, ORCHESTRATOR)
        jobs = CronJobs(self.cluster, self.cluster, "saga")
        return KubernetesScheduler("kubernetes", rows, jobs, lambda _: self.submission())

    def submission(self) -> FakeSubmission:
        return FakeSubmission(self.zenml, self.digest, self.token, self.loses_metadata)

    def names(self) -> list[str]:
        return sorted(row.name for row in self.zenml.rows.values())

    def only_job(self) -> dict[str, Any]:
        """The CronJob, of which there is one."""
        ((name, job),) = self.cluster.jobs.items()
        (row,) = self.zenml.rows.values()
        assert row.run_metadata["cron_job_name"] == name
        assert list(self.cluster.secrets) == ([job["secret"]] if job["secret"] else [])
        return job

    def digest_of_job(self) -> str:
        return (self.only_job()["annotations"] or {})[DIGEST]
