"""What the commands say about schedules, in words."""

from collections.abc import Sequence
from typing import Any

from pipelines.schedules.configuration import ScheduleConfig
from pipelines.schedules.lines import SKIPPED, unit_name
from pipelines.schedules.local import UNITS
from pipelines.schedules.scheduler import Applied, Deleted
from pipelines.schedules.words import in_words

HEADS = {
    "name": "name",
    "stack": "stack",
    "when": "when",
    "next_fire": "next",
    "last": "last run",
    "enabled": "enabled",
}


def written_text(
    schedule: ScheduleConfig, applied: Applied, warnings: Sequence[str], fires: Sequence[str]
) -> str:
    """After a cluster's schedule was made what the file says."""
    return "\n".join(
        [
            f"{schedule.name}: {applied.done} on {schedule.stack}; {_when(schedule)}",
            *(f"  {change}" for change in applied.changes),
            *_next(fires),
            *_warned(warnings),
        ]
    )


def printed_text(
    schedule: ScheduleConfig, applied: Applied, warnings: Sequence[str], fires: Sequence[str]
) -> str:
    """What to install on this machine."""
    unit = unit_name(schedule.name)
    cron = applied.shown["cron"]
    return "\n".join(
        [
            f"{schedule.name}: {_when(schedule)}",
            *_next(fires),
            *_warned(warnings),
            "Nothing was written. A run that finds the one before still going is left out (exit code "
            f"{SKIPPED}). Install it with cron or with systemd, not both.",
            *(["", "cron, with `crontab -e`:", "", cron.rstrip()] if cron else []),
            "",
            f"systemd, {UNITS}/{unit}.service:",
            "",
            str(applied.shown["service"]).rstrip(),
            "",
            f"{UNITS}/{unit}.timer:",
            "",
            str(applied.shown["timer"]).rstrip(),
            "",
            f"then: systemctl --user daemon-reload && systemctl --user enable --now {unit}.timer",
            "      loginctl enable-linger   # to run while nobody is logged in",
        ]
    )


def list_text(facts: Sequence[dict[str, Any]]) -> str:
    """A table."""
    if not facts:
        return "There are no schedules."
    rows = [list(HEADS.values())]
    for fact in facts:
        cells = dict(fact)
        cells["next_fire"] = (fact["next_fire"] or "-")[:16].replace("T", " ")
        cells["enabled"] = "yes" if fact["enabled"] else "no"
        cells["last"] = fact["last"] or "not known"
        rows.append([str(cells[key]) for key in HEADS])
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip() for row in rows]
    problems = [f"{f['name']} on {f['stack']}: {f['problem']}" for f in facts if f["problem"]]
    return "\n".join([*lines, *problems])


def deleted_text(stack: str, done: Deleted) -> str:
    """What was removed, or what the user has to remove."""
    if done.to_do:
        return "\n".join(
            [f"saga wrote nothing for {done.name}, so remove what you installed:", *done.to_do]
        )
    going = [f"{run} had begun and finishes." for run in done.still_running]
    return "\n".join([f"Deleted {done.name} on {stack}: {', '.join(done.removed)}.", *going])


def _when(schedule: ScheduleConfig) -> str:
    words = in_words(schedule.times, schedule.time_zone)
    return words if schedule.enabled else f"{words}; not enabled"


def _next(fires: Sequence[str]) -> list[str]:
    return [f"  {'next' if i == 0 else 'then'} {fire}" for i, fire in enumerate(fires)]


def _warned(warnings: Sequence[str]) -> list[str]:
    return [f"warning: {text}" for text in warnings]
