"""One schedule: what runs, when, where, as a strict file (configs/schedules).

name: retrain
what: {run: {config: configs/embedded.yaml}}
cron: "0 4 * * sun"
time_zone: Europe/Berlin
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pipelines.schedules.cron import Cron, parse_cron
from pipelines.schedules.zones import zone_of
from saga.errors import UserInputError
from saga.settings.strict_yaml import read_mapping
from saga.settings.typed import Problems, build

LONGEST_NAME = 27
"""A CronJob's name has 52 characters: the schedule's, eight of chance, the pipeline's."""
DEADLINES = (10, 7 * 86400)


@dataclass(frozen=True, slots=True)
class RunCommand:
    """`saga run`."""

    config: str
    """YAML file of the run; relative to the folder in which `saga schedule` is called."""
    set: tuple[str, ...] = ()
    """Changes of single settings, each as in --set: training.steps=60."""

    def __post_init__(self) -> None:
        _check_printable(config=self.config, set=self.set)

    def words(self) -> list[str]:
        """The command line."""
        changes = [word for text in self.set for word in ("--set", text)]
        return ["run", *changes, *_arguments(self.config)]


@dataclass(frozen=True, slots=True)
class MonitorCommand:
    """`saga monitor`."""

    model: str
    """Registered model, with :VERSION or :STAGE; without one, production, looked up at every run."""
    queries: str
    """Folder of live images."""
    labels: str | None = None
    """CSV file with the columns image and class."""
    policy: str | None = None
    """YAML file of limits; null takes configs/monitoring/default.yaml."""
    output: str = "monitoring"
    """Folder for drift.html and drift.json, on the local stack."""
    gallery: Literal["test", "train"] = "test"
    """Split of the version's dataset that queries are searched in."""

    def __post_init__(self) -> None:
        _check_printable(
            model=self.model,
            queries=self.queries,
            labels=self.labels or "-",
            policy=self.policy or "-",
            output=self.output,
        )

    def words(self) -> list[str]:
        """The command line."""
        given = {"--labels": self.labels, "--policy": self.policy, "--output": self.output}
        options = [word for name, value in given.items() if value for word in (name, value)]
        gallery = ["--gallery", self.gallery] if self.gallery != "test" else []
        return ["monitor", *options, *gallery, *_arguments(self.model, self.queries)]


@dataclass(frozen=True, slots=True)
class What:
    """The command: exactly one of these."""

    run: RunCommand | None = None
    monitor: MonitorCommand | None = None

    @property
    def command(self) -> RunCommand | MonitorCommand:
        """The one that is given."""
        given = self.run or self.monitor
        assert given is not None, "a loaded schedule has a command"
        return given


@dataclass(frozen=True, slots=True)
class History:
    """Finished runs that Kubernetes keeps, with their logs."""

    successful: int = 3
    """Jobs that succeeded."""
    failed: int = 3
    """Jobs that failed."""

    def __post_init__(self) -> None:
        for name in ("successful", "failed"):
            if not 0 <= getattr(self, name) <= 100:
                raise ValueError(f"{name} must be 0 to 100, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class ScheduleConfig:
    """What a schedule file says."""

    name: str
    """Unique on its stack: small letters, digits and '-'."""
    what: What
    """The command that is run."""
    cron: str
    """Minute, hour, day of month, month, day of week."""
    time_zone: str
    """IANA name of the zone whose clock `cron` speaks of."""
    stack: str = "local"
    """Where it runs: the name of a bundled stack (configs/stacks) or the path of a file."""
    starting_deadline_seconds: int = 3600
    """On Kubernetes: a run that could not start for so long is left out."""
    history: History = field(default_factory=History)
    """What Kubernetes keeps of finished runs."""
    overlap: Literal["Forbid"] = "Forbid"
    """A run that is due while the one before is still going is left out, always."""
    enabled: bool = True
    """Whether it fires."""

    def __post_init__(self) -> None:
        if not re.fullmatch(rf"[a-z](?:[a-z0-9-]{{0,{LONGEST_NAME - 2}}}[a-z0-9])?", self.name):
            raise ValueError(
                f"name must be 1 to {LONGEST_NAME} small letters, digits or '-', begin with a letter "
                f"and not end with '-'; got {self.name!r}"
            )
        _check_printable(stack=self.stack)
        low, high = DEADLINES
        if not low <= self.starting_deadline_seconds <= high:
            raise ValueError(
                f"starting_deadline_seconds must be {low} to {high}, got "
                f"{self.starting_deadline_seconds}: Kubernetes looks every 10 seconds"
            )
        for name, read in (("cron", parse_cron), ("time_zone", zone_of)):
            try:
                read(getattr(self, name))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error

    @property
    def times(self) -> Cron:
        """The cron expression, read."""
        return parse_cron(self.cron)

    @property
    def zone(self) -> ZoneInfo:
        """The time zone."""
        return zone_of(self.time_zone)


def load_schedule(path: Path) -> ScheduleConfig:
    """Read a schedule file.

    Raises:
        UserInputError: one message with every problem found, each with the file and the key.
    """
    problems = Problems(str(path), ScheduleConfig)
    raw = read_mapping(path)
    schedule = build(ScheduleConfig, raw, problems)
    if not problems.touch("what") and (what := raw.get("what")) is not None:
        _check_one_command(what, problems)
    problems.raise_all()
    assert schedule is not None, "a schedule without problems can be built"
    return schedule


def load_schedules(paths: Sequence[Path]) -> list[ScheduleConfig]:
    """Read several; nothing is wrong with any of them, and no two share a name on a stack.

    Raises:
        UserInputError: one message with every problem of every file.
    """
    from pipelines.stacks.configuration import stack_path

    found: dict[tuple[Path, str], Path] = {}
    schedules, problems = [], []
    for path in paths:
        try:
            schedule = load_schedule(path)
        except UserInputError as error:
            problems.append(str(error))
            continue
        try:
            stack = stack_path(schedule.stack).resolve()
        except UserInputError as error:
            problems.append(f"{path}: stack: {str(error).removeprefix('--stack: ')}")
            continue
        other = found.setdefault((stack, schedule.name), path)
        if other is not path:
            problems.append(f"{path}: name: {other} has a schedule {schedule.name} already.")
        schedules.append(schedule)
    if problems:
        raise UserInputError("\n".join(problems))
    return schedules


def _check_one_command(what: Any, problems: Problems) -> None:
    given = [name for name, value in what.items() if value is not None]
    if len(given) != 1:
        problems.add(
            "what",
            "what must hold one command, run or monitor, with its arguments; got "
            f"{' and '.join(given) or 'none'}.",
        )


def _arguments(*values: str) -> list[str]:
    """Arguments that are not options; after --, where one looks like an option."""
    return [*(["--"] if any(value.startswith("-") for value in values) else []), *values]


def _check_printable(**given: str | tuple[str, ...]) -> None:
    """Refuse what would break a line of a crontab or a unit file."""
    for name, value in given.items():
        for text in (value,) if isinstance(value, str) else value:
            if not text.strip() or not text.isprintable():
                raise ValueError(
                    f"{name} must be text without line breaks or other control characters, got "
                    f"{text[:80]!r}"
                )
