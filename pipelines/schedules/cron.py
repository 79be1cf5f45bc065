"""Five cron fields, in the part of the language that every cron reads alike.

Kubernetes, cronie and systemd differ on the rest: 7 for Sunday, ranges that wrap around, `5/15`, `L`,
`#`, `?`, `@daily`, and `*/2` in one field of days while the other is limited. All of that is refused with
what to write instead. Where both fields of days are limited, a run starts on either.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from croniter import CroniterError, croniter

WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@dataclass(frozen=True, slots=True)
class Field:
    """One of the five."""

    name: str
    """As messages call it."""
    least: int
    most: int
    names: tuple[str, ...] = ()
    """Words for its numbers, from `least` on."""


FIELDS = (
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day of month", 1, 31),
    Field("month", 1, 12, MONTHS),
    Field("day of week", 0, 6, WEEKDAYS),
)


@dataclass(frozen=True, slots=True)
class Cron:
    """When a schedule fires, in the wall-clock time of some zone."""

    fields: tuple[str, str, str, str, str]
    """In numbers; `*` stands for all."""
    values: tuple[tuple[int, ...], ...]
    """Of each field, ascending."""

    @property
    def text(self) -> str:
        """The fields as one line."""
        return " ".join(self.fields)

    def limited(self, index: int) -> bool:
        """Whether a field leaves anything out."""
        return self.fields[index] != "*"

    def next_fires(self, zone: ZoneInfo, after: datetime, count: int) -> list[datetime]:
        """The next times, in the zone.

        Args:
            zone: whose clock is read.
            after: an instant with a time zone.
            count: how many.
        """
        times = croniter(self.text, after.astimezone(zone))
        return [times.get_next(datetime) for _ in range(count)]


def parse_cron(text: str) -> Cron:
    """Read a cron expression.

    Raises:
        ValueError: saying what is wrong and what to write instead.
    """
    words = text.lower().split()
    if len(words) != len(FIELDS):
        raise ValueError(
            f"{text!r} has {len(words)} {'field' if len(words) == 1 else 'fields'}; write five: "
            "minute, hour, day of month, month, day of week, for example 0 4 * * sun"
        )
    read = [_field(field, word) for field, word in zip(FIELDS, words)]
    minute, hour, day, month, weekday = (word for word, _ in read)
    if "*" not in (day, weekday) and "*/" in day + weekday:
        raise ValueError(
            f"{text!r} limits days of the month and of the week, one of them by */: cron, systemd "
            "and Kubernetes read this differently. List the days, or leave one field at *"
        )
    cron = Cron((minute, hour, day, month, weekday), tuple(values for _, values in read))
    try:
        cron.next_fires(ZoneInfo("UTC"), datetime.now(ZoneInfo("UTC")), 1)
    except CroniterError as error:
        raise ValueError(
            f"{text!r} never fires: the month has no such day. February has 28 or 29, April, June, "
            "September and November have 30"
        ) from error
    return cron


def _field(field: Field, word: str) -> tuple[str, tuple[int, ...]]:
    """One field in numbers, and what it stands for."""
    found: set[int] = set()
    parts = []
    for part in word.split(","):
        if part.startswith("*") and part != word:
            raise ValueError(f"{field.name}: '*' stands alone, got {word!r}")
        written, values = _part(field, part)
        parts.append(written)
        found.update(values)
    return ",".join(parts), tuple(sorted(found))


def _part(field: Field, part: str) -> tuple[str, range]:
    """`*`, `*/n`, `a`, `a-b` or `a-b/n`."""
    matched = re.fullmatch(r"(?:(\*)|([a-z]+|\d+)(?:-([a-z]+|\d+))?)(?:/(\d+))?", part, re.ASCII)
    if matched is None:
        raise ValueError(
            f"{field.name}: {part!r} is not a number{' or a name' if field.names else ''}, a-b, "
            "a-b/n, * or */n"
        )
    every, first, last, step = matched.groups()
    low = field.least if every else _number(field, first)
    high = field.most if every else _number(field, last or first)
    if low > high:
        raise ValueError(f"{field.name}: {part!r} runs backwards; list the values with commas")
    if step and not every and not last:
        raise ValueError(f"{field.name}: write {part!r} as {low}-{field.most}/{step}")
    by = int(step[:4]) if step else 1
    if not 1 <= by <= field.most:
        raise ValueError(f"{field.name}: the step must be 1 to {field.most}, got {part!r}")
    span = "*" if every else f"{low}-{high}" if last else str(low)
    return span + (f"/{by}" if by > 1 else ""), range(low, high + 1, by)


def _number(field: Field, word: str) -> int:
    """A number, or a name's."""
    number = int(word[:4]) if word.isdecimal() else -1
    if word in field.names:
        number = field.least + field.names.index(word)
    if not field.least <= number <= field.most:
        named = f" ({field.names[0]}) to {field.most} ({field.names[-1]})" if field.names else ""
        allowed = f"{field.least}{named or f' to {field.most}'}"
        raise ValueError(f"{field.name} must be {allowed}, got {word[:20]!r}")
    return number
