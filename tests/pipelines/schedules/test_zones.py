from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from pipelines.schedules.cron import parse_cron
from pipelines.schedules.zones import both_clocks, warning, zone_of

NOW = datetime(2026, 11, 28, tzinfo=UTC)


@pytest.mark.parametrize(
    "name", ["Europe/Berln", "europe/berlin ", "Local", "../../etc", "", "a\0"]
)
def test_what_is_not_an_iana_name_is_refused(name):
    with pytest.raises(ValueError, match="not an IANA time zone"):
        zone_of(name)


def test_the_nearest_zone_is_named():
    with pytest.raises(ValueError, match="Nearest: Europe/Berlin"):
        zone_of("Europe/Berln")


@pytest.mark.parametrize(
    ("cron", "zone", "warned"),
    [
        ("30 2 * * *", "Europe/Berlin", True),
        ("30 4 * * *", "Europe/Berlin", False),
        ("30 2 * * *", "UTC", False),
        ("30 2 * * *", "Asia/Kolkata", False),
        ("30 * * * *", "Europe/Berlin", False),
    ],
)
def test_hours_in_which_clocks_change_are_warned_of(cron, zone, warned):
    assert (warning(parse_cron(cron), ZoneInfo(zone), NOW) is not None) == warned


def test_times_are_shown_by_both_clocks_where_they_differ():
    times = parse_cron("0 4 1 * *").next_fires(ZoneInfo("America/New_York"), NOW, 1)
    assert both_clocks(times) == ["Tue 2026-12-01 04:00 EST = Tue 2026-12-01 09:00 UTC"]
    assert both_clocks([NOW.astimezone(ZoneInfo("UTC"))]) == ["Sat 2026-11-28 00:00 UTC"]
