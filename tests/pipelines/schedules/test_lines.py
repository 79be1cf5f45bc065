import os
import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from pipelines.schedules.configuration import RunCommand, What
from pipelines.schedules.lines import SKIPPED, Place, cron_lines, service, timer
from pipelines.schedules.local import LocalScheduler
from saga.errors import UserInputError
from tests.pipelines.schedules.made import schedule

HOSTILE = 'it\'s $HOME; "$(touch pwned)" `id` & ünïcode'
PROGRAM = """#!/bin/sh
printf '%s\\n' "$PWD" "$SAGA_HOME" "$@" > seen
echo begun > begun
read answer < go
exit "$answer"
"""

needs_flock = pytest.mark.skipif(shutil.which("flock") is None, reason="flock is missing")


def place(folder: Path) -> Place:
    """A program that says what it was given, says that it began, and ends when it is told to."""
    folder.mkdir()
    program = folder / "saga"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    os.mkfifo(folder / "go")
    home = folder / "home"
    return Place((str(program),), folder, home, {"SAGA_HOME": str(home)})


def of_cron(given, where: Path) -> list[str]:
    """What cron starts: the sixth field, by sh."""
    command = (cron_lines(given, place_of[where]) or "").splitlines()[-1].split(" ", 5)[5]
    return ["/bin/sh", "-c", command]


def of_systemd(given, where: Path) -> list[str]:
    """What systemd starts: ExecStart, unquoted by its rules, in its folder and environment."""
    unit = service(given, place_of[where])
    values = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line)
    shell, option, text = re.fullmatch(r'(\S+) (\S+) "(.*)"', values["ExecStart"]).groups()
    environment = plain(values["Environment"][1:-1])
    folder = values["WorkingDirectory"].replace("%%", "%")  # taken as it is otherwise
    command = f"cd {shlex.quote(folder)} && exec env "
    script = plain(text).replace("$$", "$")
    return [shell, option, command + shlex.join([environment, "/bin/sh", "-c", script])]


def plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text).replace("%%", "%")


place_of: dict[Path, Place] = {}


@needs_flock
@pytest.mark.parametrize(
    ("starts", "folder"),
    [(of_cron, "plain"), (of_cron, HOSTILE), (of_systemd, HOSTILE), (of_systemd, "a %h \\ b")],
)
def test_a_second_run_is_left_out_while_the_first_is_going(tmp_path, starts, folder):
    where = tmp_path / folder
    place_of[where] = place(where)
    changes = ("a=1", HOSTILE) if starts is of_cron else ("a=1", HOSTILE + " % \\ $x")
    given = schedule(what=What(run=RunCommand("-c.yaml", changes)))
    command = starts(given, where)

    first = subprocess.Popen(command, cwd=tmp_path)
    while not (where / "begun").exists():
        assert first.poll() is None, "the first ended before it began"
        time.sleep(0.01)
    second = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    (where / "go").write_text("3\n")

    assert second.returncode == SKIPPED
    assert second.stderr == "saga: retrain was skipped: the run before it is still going\n"
    assert first.wait() == 3
    words = ["run", "--set", changes[0], "--set", changes[1], "--", "-c.yaml"]
    assert (where / "seen").read_text().splitlines() == [
        str(where),
        str(where / "home"),
        *words,
    ]
    assert not list(tmp_path.rglob("pwned"))
    (found,) = LocalScheduler("local", [given], place_of[where]).list()
    assert str(found.last).startswith("said no, 20")


def test_the_zone_and_the_state_stand_in_the_lines(tmp_path):
    where = Place(("/bin/saga",), tmp_path, tmp_path / "home", {"SAGA_HOME": "/h"})
    lines = str(cron_lines(schedule(), where)).splitlines()
    assert lines[-2] == "CRON_TZ=Europe/Berlin" and lines[-1].startswith("0 4 * * 0 cd ")
    assert "OnCalendar=Sun *-*-* 04:00:00 Europe/Berlin" in timer(schedule())
    off = str(cron_lines(schedule(enabled=False), where)).splitlines()
    assert all(line.startswith("#") for line in off)


@pytest.mark.parametrize("text", ["50%", "back\\slash"])
def test_what_crons_unquote_differently_gives_no_cron_line(tmp_path, text):
    where = Place(("/bin/saga",), tmp_path, tmp_path, {})
    given = schedule(what=What(run=RunCommand(text)))
    assert cron_lines(given, where) is None
    applied = LocalScheduler("local", [given], where).apply(given)
    assert applied.shown["cron"] is None and "no cron line" in applied.warnings[0]
    assert text.replace("%", "%%").replace("\\", "\\\\") in str(applied.shown["service"])


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a ", "a\0b", "a\u2028b", "a\\"])
def test_a_folder_that_would_break_a_line_is_refused(text):
    with pytest.raises(UserInputError, match="cannot stand in a crontab"):
        Place(("/bin/saga",), Path("/") / text, Path("/home"), {})


def test_nothing_is_written_to_the_machine(tmp_path):
    where = Place(("/bin/saga",), tmp_path, tmp_path / "home", {})
    scheduler = LocalScheduler("local", [schedule()], where)
    assert scheduler.apply(schedule()).done == "printed"
    scheduler.list()
    assert scheduler.delete("retrain").to_do
    assert not list(tmp_path.iterdir())


def test_delete_of_an_unknown_name_names_the_nearest(tmp_path):
    scheduler = LocalScheduler("local", [schedule()], Place((), tmp_path, tmp_path, {}))
    with pytest.raises(UserInputError, match="no schedule retran on local. Nearest: retrain"):
        scheduler.delete("retran")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing")
def test_systemd_accepts_the_units(tmp_path):
    folder = tmp_path / 'it\'s a %h; "folder"'
    folder.mkdir()
    where = Place(("/bin/true",), folder, folder / "home", {"SAGA_HOME": str(folder)})
    given = schedule(cron="0 4 1 * mon", what=What(run=RunCommand(HOSTILE)))
    files = [tmp_path / "saga-retrain.service", tmp_path / "saga-retrain.timer"]
    for path, text in zip(files, (service(given, where), timer(given))):
        path.write_text(text)
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, files)], capture_output=True, text=True
    )
    ours = [line for line in said.stderr.splitlines() if "saga-retrain" in line]
    assert (said.returncode, ours) == (0, [])
