"""A schedule as lines for cron and as units for systemd, with a lock: runs never overlap.

Both start one shell script, which takes the lock with flock, runs the command, and writes down when and
how it ended. A run that finds the lock taken says so and exits with SKIPPED.
"""

import calendar
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.schedules.configuration import ScheduleConfig
from pipelines.schedules.cron import Cron
from saga.errors import UserInputError

SKIPPED = 75
"""EX_TEMPFAIL of sysexits.h; no exit code of saga."""
KEPT = ("HF_HOME", "HF_HUB_OFFLINE", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
"""Variables of the caller that a run needs; none of them is a secret."""
UNSAFE_IN_CRON = "%\\"
"""Implementations of cron differ on how these are escaped."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a schedule's command runs."""

    program: tuple[str, ...]
    """Absolute; what `saga` is."""
    folder: Path
    """Absolute; relative paths of the schedule begin here."""
    home: Path
    """Absolute; saga's own folder."""
    environment: Mapping[str, str]
    """Variables that are set for the command."""

    def __post_init__(self) -> None:
        values = [*self.program, str(self.folder), str(self.home), *self.environment.values()]
        for value in values:
            if not value.isprintable() or value != value.strip() or value.endswith("\\"):
                raise UserInputError(
                    f"{value!r} cannot stand in a crontab or a unit file: it has line breaks, control "
                    "characters, or a space or backslash at an end. Choose another folder or value."
                )

    @classmethod
    def here(cls, home: Path) -> "Place":
        """This folder, this environment, this installation."""
        beside = Path(sys.executable).with_name("saga")
        program = (str(beside),) if beside.is_file() else (sys.executable, "-m", "pipelines.cli")
        kept = {name: os.environ[name] for name in KEPT if os.environ.get(name)}
        return cls(program, Path.cwd(), home, {"SAGA_HOME": str(home), **kept})

    def lock(self, name: str) -> Path:
        """Held while the schedule's command runs."""
        return self.home / "schedules" / f"{name}.lock"

    def last(self, name: str) -> Path:
        """Time and exit code of the run that ended last."""
        return self.home / "schedules" / f"{name}.last"


def script(schedule: ScheduleConfig, place: Place) -> str:
    """One line of POSIX shell."""
    lock, last = place.lock(schedule.name), place.last(schedule.name)
    words = [*place.program, *schedule.what.command.words()]
    skipped = f"saga: {schedule.name} was skipped: the run before it is still going"
    run = shlex.join(["flock", "-n", "-E", str(SKIPPED), str(lock), *words])
    return (
        f"mkdir -p {shlex.quote(str(lock.parent))} && {{ {run}; code=$?; "
        f"if [ $code -eq {SKIPPED} ]; then echo {shlex.quote(skipped)} >&2; "
        f'else echo "$(date -u -Iseconds) $code" > {shlex.quote(str(last))}; fi; exit $code; }}'
    )


def cron_lines(schedule: ScheduleConfig, place: Place) -> str | None:
    """Lines for `crontab -e`; None where cron would misread a path or a value."""
    variables = [f"{name}={shlex.quote(value)}" for name, value in place.environment.items()]
    command = (
        f"cd {shlex.quote(str(place.folder))} && export {' '.join(variables)} && "
        f"{script(schedule, place)}"
    )
    if set(command) & set(UNSAFE_IN_CRON):
        return None
    off = "" if schedule.enabled else "# "
    return "\n".join(
        [
            f"# saga schedule {schedule.name}{'' if schedule.enabled else ', not enabled'}",
            "# CRON_TZ holds for every line below it: keep these last.",
            f"{off}CRON_TZ={schedule.time_zone}",
            f"{off}{schedule.times.text} {command}",
            "",
        ]
    )


def service(schedule: ScheduleConfig, place: Place) -> str:
    """The unit that runs the command once."""
    environment = [f"Environment={_quoted(f'{n}={v}')}" for n, v in place.environment.items()]
    return "\n".join(
        [
            "[Unit]",
            f"Description=saga schedule {schedule.name}",
            "",
            "[Service]",
            "Type=oneshot",
            f"WorkingDirectory={_without_specifiers(str(place.folder))}",
            *environment,
            f"ExecStart=/bin/sh -c {_command(script(schedule, place))}",
            "# A gate that says no (3) and a run left out by the lock are no failures of the unit.",
            f"SuccessExitStatus=3 {SKIPPED}",
            "",
        ]
    )


def timer(schedule: ScheduleConfig) -> str:
    """The unit that starts the service; a time that the machine slept through is left out."""
    return "\n".join(
        [
            "[Unit]",
            f"Description=Starts saga schedule {schedule.name}",
            "",
            "[Timer]",
            *(f"OnCalendar={line}" for line in on_calendar(schedule.times, schedule.time_zone)),
            "AccuracySec=1s",
            "Persistent=false",
            "",
            "[Install]",
            "WantedBy=timers.target",
            "",
        ]
    )


def on_calendar(cron: Cron, zone: str) -> list[str]:
    """The times for systemd; two lines where both fields of days are limited: either fires."""
    minutes, hours, days, months, weekdays = cron.values
    clock = f"{_numbers(hours, 24)}:{_numbers(minutes, 60)}:00 {zone}"
    month = _numbers(months, 12)
    dates = f"*-{month}-{_numbers(days, 31)}"
    named = ",".join(calendar.day_abbr[(day - 1) % 7] for day in weekdays)
    if cron.limited(2) and cron.limited(4):
        return [f"{dates} {clock}", f"{named} *-{month}-* {clock}"]
    return [f"{named} {dates} {clock}" if cron.limited(4) else f"{dates} {clock}"]


def unit_name(name: str) -> str:
    """Of the units, without .service or .timer."""
    return f"saga-{name}"


def _numbers(values: tuple[int, ...], all_of_them: int) -> str:
    return "*" if len(values) == all_of_them else ",".join(f"{value:02d}" for value in values)


def _without_specifiers(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    """A word of a unit file."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_without_specifiers(escaped)}"'


def _command(text: str) -> str:
    """A word of ExecStart, where $ begins a variable."""
    return _quoted(text).replace("$", "$$")
