"""Schedules on this machine: nothing is written, the user is told what to install."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pipelines.schedules.configuration import ScheduleConfig
from pipelines.schedules.finding import named
from pipelines.schedules.lines import Place, cron_lines, service, timer, unit_name
from pipelines.schedules.scheduler import Applied, Deleted, Found

UNITS = Path("~/.config/systemd/user")
OUTCOMES = {"0": "ok", "2": "wrong input", "3": "said no", "130": "interrupted"}


class LocalScheduler:
    """The schedules of some files, for cron or systemd of this machine."""

    def __init__(self, stack: str, files: Sequence[ScheduleConfig], place: Place) -> None:
        self.stack = stack
        self._files = {schedule.name: schedule for schedule in files}
        self._place = place

    def apply(self, schedule: ScheduleConfig) -> Applied:
        """What to install."""
        lines = cron_lines(schedule, self._place)
        warnings = []
        if lines is None:
            warnings.append(
                "no cron line: a path or value has % or \\, which implementations of cron read "
                "differently; take the timer"
            )
        elif schedule.zone.key != "UTC":
            warnings.append("Debian's and Ubuntu's cron ignore CRON_TZ: take the timer there")
        if not schedule.enabled:
            warnings.append(
                f"not enabled; stop what runs: systemctl --user disable --now "
                f"{unit_name(schedule.name)}.timer"
            )
        shown = {
            "cron": lines,
            "service": service(schedule, self._place),
            "timer": timer(schedule),
        }
        return Applied(schedule.name, "printed", warnings=tuple(warnings), shown=shown)

    def list(self) -> tuple[Found, ...]:
        """The files' schedules; whether cron or systemd has them is theirs to say."""
        return tuple(self._found(schedule) for _, schedule in sorted(self._files.items()))

    def delete(self, name: str) -> Deleted:
        """What to remove.

        Raises:
            UserInputError: if no file has it.
        """
        named(name, self._files, self.stack)
        unit = unit_name(name)
        return Deleted(
            name,
            to_do=(
                f"systemctl --user disable --now {unit}.timer",
                f"rm {UNITS}/{unit}.timer {UNITS}/{unit}.service && systemctl --user daemon-reload",
                f"crontab -e   # remove the lines below: # saga schedule {name}",
            ),
        )

    def _found(self, schedule: ScheduleConfig) -> Found:
        now = datetime.now(UTC)
        fires = schedule.times.next_fires(schedule.zone, now, 1) if schedule.enabled else [None]
        return Found(
            schedule.name,
            schedule.times.text,
            schedule.time_zone,
            schedule.enabled,
            last=self._last(schedule.name),
            next_fire=fires[0],
        )

    def _last(self, name: str) -> str | None:
        """As the script wrote it."""
        try:
            at, _, code = self._place.last(name).read_text().strip().partition(" ")
        except (OSError, UnicodeDecodeError):
            return None
        return f"{OUTCOMES.get(code, f'failed ({code})')}, {at}" if code else None
