"""Schedules on a Kubernetes stack: a ZenML schedule and its CronJob, kept as the file says.

A CronJob is frozen to one snapshot and image. So a digest of what it runs is kept with it: as long as
that is the same, times and limits are patched; when it changes, another is made in its place.

Nothing fires half-made. A new one is made with a time that does not come (INERT) and gets its time last;
until then the old one stays under another name, and after any failure it has its own again. What a
killed process left is settled by the next `apply`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from pipelines.schedules.configuration import ScheduleConfig
from pipelines.schedules.cron import parse_cron
from pipelines.schedules.cronjobs import CronJob, CronJobs, wanted
from pipelines.schedules.finding import named
from pipelines.schedules.refusals import explained
from pipelines.schedules.rows import Row, Rows
from pipelines.schedules.scheduler import Applied, Deleted, Found
from pipelines.schedules.zones import both_clocks, zone_of
from saga.errors import SagaError, UserInputError

INERT = "0 0 29 2 *"
"""Until a schedule is whole, it may fire on the next 29 February."""
DISPLACED = ".replaced"
"""Ending of the old one's name while another takes its place; no schedule's own name has a dot."""


class BusyError(UserInputError):
    """Another process is making the same schedule."""


class Submission(Protocol):
    """What a schedule runs, ready to be put on the cluster."""

    @property
    def digest(self) -> str:
        """Of code, settings and image."""

    def submit(self, name: str, cron: str) -> None:
        """Make ZenML's schedule of this name, which makes the CronJob."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A schedule on the cluster: ZenML's row and its CronJob."""

    row: Row
    job: CronJob


class KubernetesScheduler:
    """Schedules of one Kubernetes stack.

    Args:
        stack: as schedule files name it.
        rows: ZenML's side.
        jobs: the cluster's side.
        prepare: what a schedule runs; raises UserInputError where that is wrong.
    """

    def __init__(
        self,
        stack: str,
        rows: Rows,
        jobs: CronJobs,
        prepare: Callable[[ScheduleConfig], Submission],
    ) -> None:
        self.stack = stack
        self._rows, self._jobs, self._prepare = rows, jobs, prepare

    def apply(self, schedule: ScheduleConfig) -> Applied:
        """Make, change, replace or leave it.

        Raises:
            UserInputError: if the cluster or ZenML says no; what was there is there still.
        """
        submission = self._prepare(schedule)
        with explained(self._jobs.namespace):
            self._check_ours(schedule.name)
            self._settle(schedule.name)
            current = self._standing(schedule.name)
            if current is None:
                self._discard(schedule.name)
                self._create(schedule, submission)
                return Applied(schedule.name, "created")
            if current.job.digest != submission.digest:
                return self._replace(current, schedule, submission)
            changes = self._amend(current, schedule)
            return Applied(schedule.name, "changed" if changes else "unchanged", changes)

    def list(self) -> tuple[Found, ...]:
        """Every schedule of the stack's orchestrator."""
        with explained(self._jobs.namespace):
            rows = [row for row in self._rows.all() if not row.name.endswith(DISPLACED)]
            return tuple(map(self._found, rows))

    def delete(self, name: str) -> Deleted:
        """Remove CronJob, rows and the token's secret; runs that are going finish.

        Raises:
            UserInputError: if there is none of this name.
        """
        with explained(self._jobs.namespace):
            rows = [r for r in self._rows.all() if r.name in (name, name + DISPLACED)]
            known = {row.name.removesuffix(DISPLACED) for row in self._rows.all()}
            left_over = self._jobs.of_schedule(name, self._known_jobs())
            if not left_over:
                named(name, known, self.stack)
            going = [run for row in rows for run in self._remove(row)]
            going += [run for job in left_over for run in self._jobs.remove(job)]
            made = [row.cron_job for row in rows if row.cron_job] + [job.name for job in left_over]
            removed = [f"CronJob {job}" for job in made] + [f"schedule {row.name}" for row in rows]
            return Deleted(name, tuple(removed), tuple(going))

    def _standing(self, name: str) -> Standing | None:
        """The schedule, if both sides of it are there."""
        row = self._rows.find(name)
        job = self._jobs.get(row.cron_job) if row and row.cron_job else None
        return Standing(row, job) if row and job else None

    def _check_ours(self, name: str) -> None:
        row = self._rows.find(name)
        if row is not None and row.orchestrator != self._rows.orchestrator:
            raise UserInputError(
                f"name: {name} is a schedule of another stack already, and ZenML wants a name once. "
                "Delete it there, or choose another name."
            )

    def _create(self, schedule: ScheduleConfig, submission: Submission) -> None:
        """A new one, or none."""
        with self._undone(self._discard, schedule.name):
            self._amend(self._make(schedule, submission), schedule)

    def _replace(self, old: Standing, schedule: ScheduleConfig, submission: Submission) -> Applied:
        """A new one instead of the old, or the old."""
        name = schedule.name
        with self._undone(self._reinstate, name):
            self._rows.rename(old.row, name + DISPLACED)
            with self._undone(self._discard, name):
                new = self._make(schedule, submission)
                self._jobs.patch(old.job.name, {"suspend": True})
                self._amend(new, schedule)
        going = self._remove(old.row)
        warnings = tuple(
            f"{run}, a run of the one that was replaced, is still going; the next may overlap it"
            for run in going
        )
        return Applied(name, "replaced", ("what it runs: code, settings or image",), warnings)

    def _make(self, schedule: ScheduleConfig, submission: Submission) -> Standing:
        """Both sides of a new one, which does not fire yet."""
        try:
            submission.submit(schedule.name, INERT)
        except Exception as error:
            if type(error).__name__ == "EntityExistsError":  # ZenML's; imported by none of us
                raise BusyError(
                    f"Another command is at work on the schedule {schedule.name}. Wait for it, then "
                    "run the same command again."
                ) from error
            raise
        made = self._standing(schedule.name)
        if made is None:
            raise SagaError(f"ZenML made the schedule {schedule.name} without a CronJob")
        zone = {"timeZone": schedule.time_zone}
        job = self._jobs.patch(made.job.name, zone, digest=submission.digest)
        self._jobs.own_secret(job)
        _check_zone(job, schedule)
        return Standing(made.row, job)

    def _amend(self, current: Standing, schedule: ScheduleConfig) -> tuple[str, ...]:
        """Make both sides what the file says: the cluster's at once, then ZenML's."""
        row, job = current.row, current.job
        target = wanted(schedule)
        changed = {key: value for key, value in target.items() if job.spec[key] != value}
        if changed.get("timeZone") == "UTC" and job.spec["timeZone"] is None:
            changed.pop("timeZone")  # what a cluster without the field runs by
        told = [f"{key}: {value} instead of {job.spec[key]}" for key, value in changed.items()]
        if changed:
            self._patch(job, changed, schedule)
        if row.cron != target["schedule"]:
            self._rows.set_cron(row, target["schedule"])
        if row.active != schedule.enabled:
            self._rows.set_active(row, schedule.enabled)
        if not told and (row.cron, row.active) != (target["schedule"], schedule.enabled):
            told = ["ZenML's row, which was not what the cluster had"]
        return tuple(told)

    def _patch(self, job: CronJob, changed: dict[str, Any], schedule: ScheduleConfig) -> None:
        """At once; and back, if the cluster drops the time zone."""
        try:
            _check_zone(self._jobs.patch(job.name, changed), schedule)
        except UserInputError:
            self._jobs.patch(job.name, {key: job.spec[key] for key in changed})
            raise

    def _settle(self, name: str) -> None:
        """Finish or take back what an apply that was killed had begun."""
        displaced = self._rows.find(name + DISPLACED)
        if displaced is None:
            return
        new = self._standing(name)
        if new is not None and new.job.digest and new.job.spec["schedule"] != INERT:
            self._remove(displaced)
        else:
            self._discard(name)
            self._reinstate(name)

    def _reinstate(self, name: str) -> None:
        """Give the old one its name and its time back."""
        displaced = self._rows.find(name + DISPLACED)
        if displaced is None:
            return
        self._rows.rename(displaced, name)
        if displaced.cron_job:
            self._jobs.patch(displaced.cron_job, {"suspend": not displaced.active})

    def _discard(self, name: str) -> None:
        """Remove whatever of a schedule was half made."""
        row = self._rows.find(name)
        if row is not None:
            self._remove(row)
        for job in self._jobs.of_schedule(name, self._known_jobs()):
            self._jobs.remove(job)

    def _remove(self, row: Row) -> tuple[str, ...]:
        """The CronJob first: without it, the row is still found; the names of runs still going."""
        job = self._jobs.get(row.cron_job) if row.cron_job else None
        going = self._jobs.remove(job) if job else ()
        self._rows.delete(row)
        return going

    def _known_jobs(self) -> set[str]:
        return {row.cron_job for row in self._rows.all() if row.cron_job}

    @contextmanager
    def _undone(self, work: Callable[[str], None], name: str) -> Iterator[None]:
        """Clean up if the block fails; if that fails too, say what to do."""
        try:
            yield
        except BusyError:
            raise  # what is there is another's
        except BaseException as error:
            try:
                work(name)
            except Exception as second:  # noqa: BLE001 - the first error is the one to tell
                error.add_note(
                    f"What was begun could not be taken back ({' '.join(str(second).split())}); run "
                    "the same command again: it does that first."
                )
            raise

    def _found(self, row: Row) -> Found:
        job = self._jobs.get(row.cron_job) if row.cron_job else None
        if job is None:
            gone = "its CronJob is gone; apply it again"
            return Found(row.name, row.cron, "UTC", False, self._rows.last(row.name), problem=gone)
        zone = job.spec["timeZone"] or "UTC"
        cron, enabled = job.spec["schedule"], not job.spec["suspend"]
        problem = None if job.digest and cron != INERT else "it was never finished; apply it again"
        fires = None
        if enabled and problem is None:
            with suppress(ValueError):  # a cron expression that others wrote
                fires = parse_cron(cron).next_fires(zone_of(zone), datetime.now(UTC), 1)[0]
        return Found(row.name, cron, zone, enabled, self._rows.last(row.name), fires, problem)


def _check_zone(job: CronJob, schedule: ScheduleConfig) -> None:
    """Refuse a cluster that forgets the time zone; without one it runs by UTC."""
    if schedule.time_zone in ("UTC", job.spec["timeZone"]):
        return
    fires = schedule.times.next_fires(schedule.zone, datetime.now(UTC), 5)
    message = "\n".join(
        [
            f"time_zone: {schedule.time_zone} cannot be kept: this cluster drops a CronJob's timeZone "
            "(Kubernetes before 1.25), and UTC does not follow its clock. Write cron in UTC, with "
            "time_zone: UTC. The next five times:",
            *(f"  {line}" for line in both_clocks(fires)),
        ]
    )
    raise UserInputError(message)
