"""ZenML's rows of schedules: names, times and the CronJob of each.

Three habits of ZenML 0.98 are answered here. `update_schedule` leaves out a new cron expression where
`active` comes along unchanged, so each is updated alone. `delete_schedule` archives unless told
otherwise. A name is looked up exactly; ZenML would take a prefix.
"""

import re
from dataclasses import dataclass
from typing import Any

CRON_JOB = "cron_job_name"
"""Where ZenML keeps the CronJob's name; in some failures it does not."""
PAGE, RUNS = 1000, 20


@dataclass(frozen=True, slots=True)
class Row:
    """One schedule, as ZenML has it."""

    id: Any
    name: str
    cron: str
    active: bool
    cron_job: str | None
    """Name of its CronJob."""
    orchestrator: str
    """Id of the orchestrator that it belongs to."""


class Rows:
    """Reads and changes them.

    Args:
        client: zenml.client.Client, or what behaves like it.
        orchestrator: id of the stack's orchestrator.
    """

    def __init__(self, client: Any, orchestrator: str) -> None:
        self._client, self.orchestrator = client, orchestrator

    def find(self, name: str) -> Row | None:
        """The one of exactly this name, on whatever stack."""
        found = self._client.list_schedules(name=f"equals:{name}", size=PAGE, hydrate=True)
        return next(map(_read, found.items), None)

    def all(self) -> list[Row]:
        """Those of this stack."""
        found = self._client.list_schedules(
            orchestrator_id=self.orchestrator, size=PAGE, hydrate=True
        )
        return sorted(map(_read, found.items), key=lambda row: row.name)

    def rename(self, row: Row, name: str) -> None:
        """Give another name; the CronJob keeps its own."""
        from zenml.models import ScheduleUpdate

        self._client.zen_store.update_schedule(
            schedule_id=row.id, schedule_update=ScheduleUpdate(name=name)
        )

    def set_cron(self, row: Row, cron: str) -> None:
        """Change the time, here and in the cluster."""
        self._client.update_schedule(row.id, cron_expression=cron)

    def set_active(self, row: Row, active: bool) -> None:
        """Let it fire or not, here and in the cluster."""
        self._client.update_schedule(row.id, active=active)

    def delete(self, row: Row) -> None:
        """Remove it and what is left of its CronJob; its runs stay, without a schedule."""
        self._client.delete_schedule(row.id, soft=False)

    def last(self, name: str) -> str | None:
        """How a schedule's last run ended, and when it began.

        Found by the run's name, which outlives the row: a schedule that was replaced has a new one.
        """
        page = self._client.list_pipeline_runs(
            name=f"startswith:{name}-20", sort_by="desc:created", size=RUNS
        )
        for run in page.items:
            if re.fullmatch(rf"{re.escape(name)}-\d{{4}}_\d\d_\d\d-[\d_]+", run.name):
                return f"{run.status}, {run.created:%Y-%m-%d %H:%M}"
        return None


def _read(found: Any) -> Row:
    return Row(
        found.id,
        found.name,
        found.cron_expression or "",
        found.active,
        found.run_metadata.get(CRON_JOB),
        str(found.orchestrator_id),
    )
