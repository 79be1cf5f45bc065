"""A cron expression in words."""

import calendar
from collections.abc import Iterable

from pipelines.schedules.cron import Cron

FEW = 4
"""Times of day that are listed one by one."""


def in_words(cron: Cron, zone: str) -> str:
    """For example "at 04:00 on Sunday, Europe/Berlin"."""
    return f"{_times(cron)}{_days(cron)}{_months(cron)}, {zone}"


def _times(cron: Cron) -> str:
    minute, hour = cron.fields[:2]
    minutes, hours = cron.values[:2]
    if minute == hour == "*":
        return "every minute"
    if hour == "*" and minute.startswith("*/") and 60 % int(minute[2:]) == 0:
        return f"every {minute[2:]} minutes"
    if len(minutes) * len(hours) <= FEW:
        return "at " + _and(f"{h:02d}:{m:02d}" for h in hours for m in minutes)
    past = "every minute" if minute == "*" else f"at {_plural('minute', minutes)}"
    return f"{past} of {'every hour' if hour == '*' else _plural('hour', hours)}"


def _days(cron: Cron) -> str:
    days, weekdays = cron.values[2], cron.values[4]
    named = "on " + _and(calendar.day_name[(day - 1) % 7] for day in weekdays)
    numbered = f"on {_plural('day', days)} of the month"
    if cron.limited(2) and cron.limited(4):
        return f" {numbered} and {named}"
    if cron.limited(2):
        return f" {numbered}"
    if cron.limited(4):
        return f" {named}"
    return " every day" if cron.limited(1) else ""


def _months(cron: Cron) -> str:
    return f" in {_and(calendar.month_name[m] for m in cron.values[3])}" if cron.limited(3) else ""


def _plural(noun: str, values: tuple[int, ...]) -> str:
    return f"{noun}{'s' if len(values) > 1 else ''} {_and(map(str, values))}"


def _and(words: Iterable[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last
