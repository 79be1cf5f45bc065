from pathlib import Path

import pytest

from pipelines.configuration import CONFIGS
from pipelines.schedules.configuration import (
    MonitorCommand,
    RunCommand,
    load_schedule,
    load_schedules,
)
from saga.errors import UserInputError

GOOD = """
name: retrain
what: {run: {config: a.yaml, set: [training.steps=10]}}
cron: "0 4 * * sun"
time_zone: UTC
"""


def written(folder: Path, text: str, name: str = "schedule.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_file_is_read(tmp_path):
    schedule = load_schedule(written(tmp_path, GOOD))
    assert schedule.what.command == RunCommand("a.yaml", ("training.steps=10",))
    assert (schedule.stack, schedule.overlap, schedule.enabled) == ("local", "Forbid", True)


@pytest.mark.parametrize(
    "path", sorted((CONFIGS / "schedules").glob("*.yaml")), ids=lambda p: p.stem
)
def test_the_bundled_schedules_are_right(path):
    assert load_schedule(path).name == path.stem


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("cron:", "corn:", "corn is not a setting. Nearest: cron"),
        ('"0 4 * * sun"', '"0 0 31 2 *"', "cron: '0 0 31 2 .*never fires"),
        ('"0 4 * * sun"', "5", "cron must be text"),
        ("UTC", "Europe/Berln", "time_zone: .*Nearest: Europe/Berlin"),
        ("time_zone: UTC", "", "time_zone is missing"),
        ("name: retrain", "name: Re_train", "name must be 1 to 27 small letters"),
        ("name: retrain", f"name: {'a' * 28}", "name must be 1 to 27"),
        ("name: retrain", 'name: "a\\nb"', "name must be"),
        ("config:", "confg:", "what.run.confg is not a setting. Nearest: what.run.config"),
        ("run:", "rn:", "what.rn is not a setting"),
        ("{run: {config: a.yaml, set: [training.steps=10]}}", "{}", "what must hold one command"),
        ("{run: {", "{monitor: {model: b, queries: c}, run: {", "got monitor and run"),
        ("a.yaml", '"a\\nb"', "what.run.config must be text without line breaks"),
        ("a.yaml", '""', "what.run.config must be text"),
        ("[training.steps=10]", '["a=\\u2028"]', "what.run.set must be text without"),
        ("time_zone:", "overlap: Allow\ntime_zone:", "overlap must be one of Forbid; got 'Allow'"),
        ("time_zone:", "starting_deadline_seconds: 5\ntime_zone:", "must be 10 to 604800, got 5"),
        ("time_zone:", "history: {failed: -1}\ntime_zone:", "history.failed must be 0 to 100"),
        ("time_zone:", "enabled: maybe\ntime_zone:", "enabled must be true or false"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_key(tmp_path, old, new, message):
    path = written(tmp_path, GOOD.replace(old, new))
    with pytest.raises(UserInputError, match=message) as caught:
        load_schedule(path)
    assert str(path) in str(caught.value)


def test_every_problem_of_every_file_is_told(tmp_path):
    one = written(tmp_path, GOOD.replace("UTC", "Nowhere"), "one.yaml")
    two = written(tmp_path, GOOD.replace("cron:", "corn:"), "two.yaml")
    with pytest.raises(UserInputError) as caught:
        load_schedules([one, two])
    assert str(one) in str(caught.value) and str(two) in str(caught.value)


def test_a_name_is_taken_once_on_a_stack_however_the_stack_is_named(tmp_path):
    one = written(tmp_path, GOOD, "one.yaml")
    stack = CONFIGS / "stacks" / "local.yaml"
    two = written(tmp_path, f"{GOOD}stack: {stack}\n", "two.yaml")
    with pytest.raises(UserInputError, match="one.yaml has a schedule retrain already"):
        load_schedules([one, two])


def test_an_unknown_stack_is_told_with_file_and_key(tmp_path):
    path = written(tmp_path, f"{GOOD}stack: locl\n")
    with pytest.raises(UserInputError, match="schedule.yaml: stack: locl .*Did you mean local"):
        load_schedules([path])


def test_arguments_that_look_like_options_stay_arguments():
    assert RunCommand("-x.yaml", ("a=-1",)).words() == ["run", "--set", "a=-1", "--", "-x.yaml"]
    words = MonitorCommand("--model", "queries", labels="l.csv", gallery="train").words()
    options = ["--labels", "l.csv", "--output", "monitoring", "--gallery", "train"]
    assert words == ["monitor", *options, "--", "--model", "queries"]
