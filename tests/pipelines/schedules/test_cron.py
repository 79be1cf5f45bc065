import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from pipelines.schedules.cron import parse_cron
from pipelines.schedules.lines import on_calendar
from pipelines.schedules.words import in_words

START = datetime(2026, 11, 28, 8, 3, tzinfo=UTC)
CRONS = [
    "0 4 * * sun",
    "*/15 * * * *",
    "30 5 1,15 * *",
    "0 0 29 2 *",
    "0 4 1 * mon",
    "10-50/20 9-17/4 * jan-mar,dec mon-fri",
    "59 23 31 12 *",
    "0 6 */10 * *",
]


def naive(text: str, count: int) -> list[datetime]:
    """Minute by minute, from the definition of cron."""
    minutes, hours, days, months, weekdays = parse_cron(text).values
    day_limited, weekday_limited = (text.split()[i] != "*" for i in (2, 4))
    found, at = [], START.replace(second=0)
    while len(found) < count:
        at += timedelta(minutes=1)
        if at.month not in months:
            at = at.replace(hour=23, minute=59)
            continue
        by_day, by_weekday = at.day in days, at.isoweekday() % 7 in weekdays
        both = by_day or by_weekday if day_limited and weekday_limited else by_day and by_weekday
        if both and at.hour in hours and at.minute in minutes:
            found.append(at)
    return found


@pytest.mark.parametrize("text", [text for text in CRONS if "29 2" not in text])
def test_next_fires_are_those_of_the_definition(text):
    assert parse_cron(text).next_fires(ZoneInfo("UTC"), START, 3) == naive(text, 3)


def test_next_fires_follow_the_clock_of_the_zone():
    berlin = ZoneInfo("Europe/Berlin")
    winter, summer = (
        parse_cron("0 4 * * *").next_fires(berlin, datetime(2026, month, 10, tzinfo=UTC), 1)[0]
        for month in (1, 7)
    )
    assert (winter.astimezone(UTC).hour, summer.astimezone(UTC).hour) == (3, 2)
    assert winter.hour == summer.hour == 4


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing")
@pytest.mark.parametrize("text", CRONS)
def test_systemd_reads_the_same_times(text):
    cron = parse_cron(text)
    wanted = cron.next_fires(ZoneInfo("Asia/Kolkata"), START, 2)
    found = []
    for line in on_calendar(cron, "Asia/Kolkata"):
        said = subprocess.run(
            ["systemd-analyze", "calendar", line, "--iterations=2"]
            + ["--base-time", "2026-11-28 08:03:00 UTC"],
            env={"TZ": "UTC", "PATH": "/usr/bin:/bin", "LANG": "C"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        found += [
            datetime.strptime(part.split(": ", 1)[1].strip(), "%a %Y-%m-%d %H:%M:%S UTC")
            for part in said.splitlines()
            if "elapse:" in part or "Iter. #" in part
        ]
    assert sorted(found)[:2] == [at.astimezone(UTC).replace(tzinfo=None) for at in wanted]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0 4 * * SUN", "0 4 * * 0"),
        ("  5   4 1,15 Jan-Mar/2 sat ", "5 4 1,15 1-3/2 6"),
        ("*/1 * * * *", "* * * * *"),
    ],
)
def test_names_and_spaces_are_written_as_every_cron_reads_them(text, numbers):
    assert parse_cron(text).text == numbers


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 4 * *", "4 fields; write five"),
        ("0 0 4 * * sun", "6 fields"),
        ("@daily", "1 field; write five"),
        ("not a cron", "3 fields"),
        ("60 * * * *", "minute must be 0 to 59, got '60'"),
        ("* 24 * * *", "hour must be 0 to 23"),
        ("0 0 0 * *", "day of month must be 1 to 31"),
        ("0 0 * 13 *", "month must be 1"),
        ("0 4 * * 7", "day of week must be 0"),
        ("0 4 * * sunday", "day of week must be 0"),
        ("0 4 * jun mar", "day of week must be"),
        ("0 0 31 2 *", "never fires"),
        ("0 0 30,31 feb *", "never fires"),
        ("0 0 31 4,6,9,11 *", "never fires"),
        ("5/15 * * * *", "write '5/15' as 5-59/15"),
        ("0 4 * * fri-mon", "backwards"),
        ("*,5 * * * *", "stands alone"),
        ("*/0 * * * *", "step must be 1 to 59"),
        ("*/60 * * * *", "step must be 1 to 59"),
        ("0 0 */2 * mon", "read this differently"),
        ("0 0 L * *", "day of month"),
        ("0 0 * * mon#2", "day of week"),
        ("0 -1 * * *", "hour"),
        ("0 ٣ * * *", "hour"),
        ("H H * * *", "minute"),
        ("9" * 5000 + " * * * *", "minute must be"),
        ("", "0 fields"),
    ],
)
def test_what_crons_read_differently_or_not_at_all_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_cron(text)


def test_leap_days_and_days_that_either_field_allows_are_accepted():
    (leap,) = parse_cron("0 0 29 2 *").next_fires(ZoneInfo("UTC"), START, 1)
    assert (leap.year, leap.month, leap.day) == (2028, 2, 29)
    (monday,) = parse_cron("0 0 31 2 mon").next_fires(ZoneInfo("UTC"), START, 1)
    assert monday.month == 2 and monday.isoweekday() == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 4 * * sun", "at 04:00 on Sunday, UTC"),
        ("30 5,17 * * *", "at 05:30 and 17:30 every day, UTC"),
        ("*/15 * * * *", "every 15 minutes, UTC"),
        ("*/7 * * * *", "at minutes 0, 7, 14, 21, 28, 35, 42, 49 and 56 of every hour, UTC"),
        ("* * * * *", "every minute, UTC"),
        ("0 0 1 jan *", "at 00:00 on day 1 of the month in January, UTC"),
        ("0 4 1 * mon", "at 04:00 on day 1 of the month and on Monday, UTC"),
        (
            "0 9-17 * * *",
            "at minute 0 of hours 9, 10, 11, 12, 13, 14, 15, 16 and 17 every day, UTC",
        ),
    ],
)
def test_in_words(text, words):
    assert in_words(parse_cron(text), "UTC") == words
