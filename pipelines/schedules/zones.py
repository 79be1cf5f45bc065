"""Time zones by their IANA names, and what their clocks do to a schedule."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pipelines.schedules.cron import Cron
from saga.settings.describe import closest

NOT_NAMES = ("localtime", "Local", "posixrules", "Factory")
"""Files beside the zones, which mean something else on each machine."""

CHANGING_HOURS = range(4)
"""When clocks are put forward or back, it is in these hours, nearly everywhere."""


def zone_of(name: str) -> ZoneInfo:
    """The zone of an IANA name.

    Raises:
        ValueError: if there is none of this name, with the nearest.
    """
    try:
        if name in NOT_NAMES:
            raise ZoneInfoNotFoundError
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        near = closest(name, available_timezones() - {*NOT_NAMES})
        hint = f" Nearest: {near}" if near else ""
        raise ValueError(
            f"{name!r} is not an IANA time zone, such as UTC or Europe/Berlin.{hint}"
        ) from None


def changes(zone: ZoneInfo, after: datetime) -> bool:
    """Whether the zone's clocks are put forward or back within a year."""
    offsets = {(after + timedelta(days=day)).astimezone(zone).utcoffset() for day in range(365)}
    return len(offsets) > 1


def warning(cron: Cron, zone: ZoneInfo, after: datetime) -> str | None:
    """What is to be known about the nights in which the clocks change."""
    hours = cron.values[1]
    if not cron.limited(1) or not set(hours) & set(CHANGING_HOURS) or not changes(zone, after):
        return None
    return (
        f"the clocks of {zone.key} change between midnight and 4 at night, where a run may be left out "
        "or come twice; choose another hour, or UTC"
    )


def both_clocks(fires: list[datetime]) -> list[str]:
    """Each time by the zone's clock and in UTC."""
    return [f"{_clock(fire)}{_in_utc(fire)}" for fire in fires]


def _clock(fire: datetime) -> str:
    return f"{fire:%a %Y-%m-%d %H:%M} {fire.tzname()}"


def _in_utc(fire: datetime) -> str:
    return "" if fire.tzname() == "UTC" else f" = {_clock(fire.astimezone(UTC))}"
