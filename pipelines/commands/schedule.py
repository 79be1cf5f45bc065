"""`saga schedule`: what runs by itself, made, shown and removed."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.answer import Answer
from pipelines.configuration import CONFIGS
from pipelines.schedules.configuration import ScheduleConfig, load_schedules
from pipelines.schedules.cron import parse_cron
from pipelines.schedules.finding import named
from pipelines.schedules.scheduler import Applied, Found, Scheduler, summary
from pipelines.schedules.telling import deleted_text, list_text, printed_text, written_text
from pipelines.schedules.words import in_words
from pipelines.schedules.zones import both_clocks, warning
from saga.errors import UserInputError

FOLDER = Path("configs") / "schedules"
SHOWN_TIMES = 5


def main(action: str, *arguments: Any) -> Answer:
    """Do one of apply, list, delete."""
    actions: dict[str, Callable[..., Answer]] = {"apply": apply, "list": show, "delete": delete}
    return actions[action](*arguments)


def apply(files: Sequence[Path]) -> Answer:
    """Check every file and all that they name; then make each schedule what its file says."""
    from pipelines.schedules.commands import inputs

    schedules = load_schedules(files)
    for schedule in schedules:
        inputs(schedule)
    schedulers = _open(schedules)
    done: list[Applied] = []
    for path, schedule in zip(files, schedules):
        try:
            done.append(schedulers[schedule.stack].apply(schedule))
        except BaseException as error:
            error.add_note(f"It was {path} that was applied.")
            if done:
                error.add_note(f"Before that: {', '.join(f'{a.name} ({a.done})' for a in done)}.")
            raise
    told = [_told(schedule, applied) for schedule, applied in zip(schedules, done)]
    return Answer(
        {"schedules": [facts for facts, _ in told]}, "\n\n".join(text for _, text in told)
    )


def _told(schedule: ScheduleConfig, applied: Applied) -> tuple[dict[str, Any], str]:
    """What was done, for machines and for people."""
    now = datetime.now(UTC)
    fires = schedule.times.next_fires(schedule.zone, now, SHOWN_TIMES)
    clocks = warning(schedule.times, schedule.zone, now)
    warnings = [*applied.warnings, *([clocks] if clocks else [])]
    more = {"warnings": warnings, "next": [fire.isoformat() for fire in fires]}
    tell = printed_text if applied.done == "printed" else written_text
    text = tell(schedule, applied, warnings, both_clocks(fires))
    return asdict(applied) | summary(schedule) | more, text


def show(files: Sequence[Path], stacks: Sequence[str]) -> Answer:
    """Every schedule of the stacks that are named, or that the files name."""
    schedules = load_schedules(files or default_files())
    rows: list[tuple[str, Found]] = []
    for stack, scheduler in _open(schedules, stacks).items():
        found = scheduler.list()
        rows += [(stack, entry) for entry in found]
        rows += [(stack, entry) for entry in _absent(stack, schedules, found)]
    facts = [_facts(stack, entry) for stack, entry in rows]
    return Answer({"schedules": facts}, list_text(facts))


def delete(name: str, stack: str | None) -> Answer:
    """Remove a schedule from the stack that has it."""
    schedules = load_schedules(default_files())
    schedulers = _open(schedules, [stack] if stack else (), only=stack)
    chosen = _holder(name, schedulers)
    done = schedulers[chosen].delete(name)
    return Answer(asdict(done) | {"stack": chosen}, deleted_text(chosen, done))


def default_files() -> list[Path]:
    """The files of configs/schedules here; else those that come with the project."""
    folder = FOLDER if FOLDER.is_dir() else CONFIGS / "schedules"
    return sorted(folder.glob("*.yaml"))


def _open(
    schedules: Sequence[ScheduleConfig], stacks: Sequence[str] = (), only: str | None = None
) -> dict[str, Scheduler]:
    """A scheduler for each stack."""
    from pipelines.schedules.opening import open_scheduler
    from pipelines.stacks.configuration import KubernetesStack, load_stack

    names = [only] if only else list(dict.fromkeys([*stacks, *(s.stack for s in schedules)]))
    clusters = [found for name in names if isinstance(found := load_stack(name), KubernetesStack)]
    if len({found.server for found in clusters}) > 1:
        raise UserInputError(
            "stack: these schedules are on stacks of different ZenML servers, and one command speaks "
            "to one: give the files of each in a command of their own."
        )
    return {name: open_scheduler(name, [s for s in schedules if s.stack == name]) for name in names}


def _holder(name: str, schedulers: dict[str, Scheduler]) -> str:
    """The stack that has a schedule.

    Raises:
        UserInputError: if none has it, or several have.
    """
    if len(schedulers) == 1:
        return next(iter(schedulers))
    names = {stack: {found.name for found in s.list()} for stack, s in schedulers.items()}
    holders = [stack for stack, known in names.items() if name in known]
    if len(holders) > 1:
        raise UserInputError(f"{name} is on {' and '.join(holders)}. Choose one with --stack.")
    if not holders:
        named(name, set().union(*names.values()), " or ".join(names) or "any stack")
    return holders[0]


def _absent(stack: str, schedules: Sequence[ScheduleConfig], found: Sequence[Found]) -> list[Found]:
    """What files declare and the stack does not have."""
    there = {entry.name for entry in found}
    return [
        Found(s.name, s.times.text, s.time_zone, False, problem="not applied yet")
        for s in schedules
        if s.stack == stack and s.name not in there
    ]


def _facts(stack: str, found: Found) -> dict[str, Any]:
    """A found schedule for machines, with its time in words."""
    try:
        words = in_words(parse_cron(found.cron), found.time_zone)
    except ValueError:  # what others wrote
        words = f"{found.cron}, {found.time_zone}"
    fire = found.next_fire.isoformat() if found.next_fire else None
    return asdict(found) | {"stack": stack, "when": words, "next_fire": fire}
