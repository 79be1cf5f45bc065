"""CronJobs in one namespace, through the plain Kubernetes client.

ZenML's orchestrator makes them and patches their times; what it does not know is done here: time zone,
digest of what they run, owner of the token's secret, and a removal that lets a run finish.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pipelines.schedules.configuration import ScheduleConfig

DIGEST = "saga/digest"
"""Annotation: digest of what the schedule runs; its absence marks one that was never finished."""
TOKEN = "ZENML_STORE_API_TOKEN"  # noqa: S105 - the variable's name
GONE = 404


@dataclass(frozen=True, slots=True)
class CronJob:
    """What matters of one."""

    name: str
    uid: str
    spec: dict[str, Any]
    """Values by the API's names, those that `wanted` sets."""
    digest: str | None
    active: tuple[tuple[str, str], ...]
    """Name and uid of each Job that is going."""
    secret: str | None
    """That holds ZenML's token, where there is one."""


def wanted(schedule: ScheduleConfig) -> dict[str, Any]:
    """The part of a CronJob's spec that a schedule decides."""
    return {
        "schedule": schedule.times.text,
        "timeZone": schedule.time_zone,
        "suspend": not schedule.enabled,
        "concurrencyPolicy": schedule.overlap,
        "startingDeadlineSeconds": schedule.starting_deadline_seconds,
        "successfulJobsHistoryLimit": schedule.history.successful,
        "failedJobsHistoryLimit": schedule.history.failed,
    }


class CronJobs:
    """Reads, patches and removes them.

    Args:
        batch: kubernetes.client.BatchV1Api, or what behaves like it.
        core: kubernetes.client.CoreV1Api, or what behaves like it.
        namespace: of the stack.
    """

    def __init__(self, batch: Any, core: Any, namespace: str) -> None:
        self._batch, self._core, self.namespace = batch, core, namespace

    def get(self, name: str) -> CronJob | None:
        """One, or None where it is gone."""
        with _gone_already():
            return _read(self._batch.read_namespaced_cron_job(name, self.namespace))
        return None

    def of_schedule(self, schedule: str, known: Iterable[str]) -> list[CronJob]:
        """Those that were made for a schedule, by their names, except those that are known."""
        pattern, others = re.compile(rf"{re.escape(schedule)}-[0-9a-f]{{8}}-"), set(known)
        found = map(_read, self._batch.list_namespaced_cron_job(self.namespace).items)
        return [job for job in found if pattern.match(job.name) and job.name not in others]

    def patch(self, name: str, spec: dict[str, Any], digest: str | None = None) -> CronJob:
        """Change some of its spec, and its digest; returns what the cluster made of it."""
        body: dict[str, Any] = {"spec": spec}
        if digest is not None:
            body["metadata"] = {"annotations": {DIGEST: digest}}
        return _read(self._batch.patch_namespaced_cron_job(name, self.namespace, body))

    def own_secret(self, job: CronJob) -> None:
        """Let the token's secret go when the CronJob goes; ZenML leaves it."""
        if job.secret:
            self._own(job.secret, [("CronJob", job.name, job.uid)])

    def remove(self, job: CronJob) -> tuple[str, ...]:
        """Remove one; the names of its runs that are going, which finish."""
        owners = [("Job", name, uid) for name, uid in job.active]
        if job.secret:
            with _gone_already():
                self._own(job.secret, owners or [("CronJob", job.name, job.uid)])
        policy = "Orphan" if job.active else "Background"
        with _gone_already():
            self._batch.delete_namespaced_cron_job(
                job.name, self.namespace, propagation_policy=policy
            )
        return tuple(name for name, _ in job.active)

    def _own(self, secret: str, owners: list[tuple[str, str, str]]) -> None:
        references = [
            {"apiVersion": "batch/v1", "kind": kind, "name": name, "uid": uid}
            for kind, name, uid in owners
        ]
        body = {"metadata": {"ownerReferences": references}}
        self._core.patch_namespaced_secret(secret, self.namespace, body)


@contextmanager
def _gone_already() -> Iterator[None]:
    """Pass over what the cluster does not have."""
    try:
        yield
    except Exception as error:
        if getattr(error, "status", None) != GONE:
            raise


def _read(job: Any) -> CronJob:
    """From the client's model."""
    spec, meta = job.spec, job.metadata
    return CronJob(
        name=meta.name,
        uid=meta.uid,
        spec={
            "schedule": spec.schedule,
            "timeZone": spec.time_zone,
            "suspend": bool(spec.suspend),
            "concurrencyPolicy": spec.concurrency_policy,
            "startingDeadlineSeconds": spec.starting_deadline_seconds,
            "successfulJobsHistoryLimit": spec.successful_jobs_history_limit,
            "failedJobsHistoryLimit": spec.failed_jobs_history_limit,
        },
        digest=(meta.annotations or {}).get(DIGEST),
        active=tuple((ref.name, ref.uid) for ref in (job.status and job.status.active) or ()),
        secret=_secret(spec.job_template),
    )


def _secret(template: Any) -> str | None:
    """Name of the secret that the pod takes ZenML's token from."""
    for container in template.spec.template.spec.containers if template else ():
        for variable in container.env or ():
            source = variable.value_from and variable.value_from.secret_key_ref
            if variable.name == TOKEN and source:
                return str(source.name)
    return None
