"""What every kind of stack does with a schedule."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from pipelines.schedules.configuration import ScheduleConfig

Done = Literal["created", "unchanged", "changed", "replaced", "printed"]


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying one schedule came to."""

    name: str
    done: Done
    """`printed`: nothing was written, the user is told what to install."""
    changes: tuple[str, ...] = ()
    """What was changed, in words."""
    warnings: tuple[str, ...] = ()
    """What the user should know."""
    shown: dict[str, str | None] = field(default_factory=dict)
    """Texts to install, by what they are."""


@dataclass(frozen=True, slots=True)
class Found:
    """One schedule as it stands on a stack."""

    name: str
    cron: str
    time_zone: str
    enabled: bool
    """Whether it fires."""
    last: str | None = None
    """How the last run ended, and when; None where it is not known."""
    next_fire: datetime | None = None
    """None where it does not fire."""
    problem: str | None = None
    """Why it is not as it was applied."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """What deleting one schedule came to."""

    name: str
    removed: tuple[str, ...] = ()
    """What was removed, in words."""
    still_running: tuple[str, ...] = ()
    """Runs that had begun; they finish."""
    to_do: tuple[str, ...] = ()
    """Commands for the user, where we wrote nothing and so remove nothing."""


class Scheduler(Protocol):
    """Schedules of one stack."""

    stack: str
    """As schedule files name it."""

    def apply(self, schedule: ScheduleConfig) -> Applied:
        """Make the stack's schedule of this name what the file says; idempotent.

        Raises:
            UserInputError: if the stack cannot take it; then nothing has changed.
        """

    def list(self) -> tuple[Found, ...]:
        """Every schedule on the stack, by name."""

    def delete(self, name: str) -> Deleted:
        """Remove one, with everything that belongs to it.

        Raises:
            UserInputError: if there is none, naming the nearest.
        """


def summary(config: ScheduleConfig) -> dict[str, Any]:
    """What a schedule says, for machines."""
    return {
        "name": config.name,
        "stack": config.stack,
        "command": config.what.command.words(),
        "cron": config.times.text,
        "time_zone": config.time_zone,
        "enabled": config.enabled,
    }
