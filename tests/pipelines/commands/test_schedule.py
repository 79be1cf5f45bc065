from pathlib import Path

import pytest

RETRAIN = """
name: retrain
what: {{run: {{config: {config}}}}}
cron: "0 4 * * sun"
time_zone: Europe/Berlin
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder with one schedule, in which the command is called."""
    config = Path("configs/embedded.yaml").absolute()
    schedules = tmp_path / "configs" / "schedules"
    schedules.mkdir(parents=True)
    (schedules / "retrain.yaml").write_text(RETRAIN.format(config=config))
    monkeypatch.setenv("SAGA_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return schedules


def test_on_the_local_stack_apply_prints_what_to_install_and_writes_nothing(saga, folder):
    before = sorted(folder.parents[1].rglob("*"))
    said = saga("schedule", "apply", folder / "retrain.yaml")
    assert said.code == 0
    for text in (
        "retrain: at 04:00 on Sunday, Europe/Berlin",
        "CRON_TZ=Europe/Berlin\n0 4 * * 0 cd ",
        "OnCalendar=Sun *-*-* 04:00:00 Europe/Berlin",
        "flock -n -E 75",
        "Nothing was written",
    ):
        assert text in said.out
    assert len([line for line in said.out.splitlines() if " = " in line and " UTC" in line]) == 5
    assert sorted(folder.parents[1].rglob("*")) == before


def test_for_machines_apply_has_lines_units_and_the_next_times(saga, folder):
    (facts,) = saga("schedule", "apply", folder / "retrain.yaml", "--json").facts["schedules"]
    assert set(facts["shown"]) == {"cron", "service", "timer"}
    assert (facts["done"], facts["cron"], len(facts["next"])) == ("printed", "0 4 * * 0", 5)


def test_every_wrong_file_is_told_before_anything_is_done(saga, folder):
    (folder / "bad.yaml").write_text('name: bad\ncron: "61 * * * *"\nwhat: {}\ntime_zone: UTC\n')
    said = saga("schedule", "apply", folder / "retrain.yaml", folder / "bad.yaml")
    assert (said.code, said.out) == (2, "")
    assert "bad.yaml: cron: minute must be 0 to 59, got '61'" in said.err
    assert "bad.yaml: what must hold one command" in said.err


def test_a_wrong_run_is_told_with_its_own_file_and_key(saga, folder):
    path = folder / "retrain.yaml"
    path.write_text(path.read_text().replace("}}", ", set: [training.stps=1]}}"))
    said = saga("schedule", "apply", path)
    assert said.code == 2
    assert "schedule retrain cannot run" in said.err and "training.steps" in said.err


def test_list_shows_the_declared_schedules_and_how_they_ended(saga, folder, tmp_path):
    last = tmp_path / "home" / "schedules" / "retrain.last"
    last.parent.mkdir(parents=True)
    last.write_text("2026-11-22T03:00:12+00:00 0\n")
    (found,) = saga("schedule", "list", "--json").facts["schedules"]
    assert (found["name"], found["stack"], found["enabled"]) == ("retrain", "local", True)
    assert found["last"] == "ok, 2026-11-22T03:00:12+00:00"
    assert found["next_fire"][10:16] == "T04:00"
    out = saga("schedule", "list").out
    assert out.splitlines()[1].startswith("retrain  local  at 04:00 on Sunday, Europe/Berlin")


def test_delete_says_what_to_remove_and_names_the_nearest(saga, folder):
    said = saga("schedule", "delete", "retrain")
    assert said.code == 0 and "systemctl --user disable --now saga-retrain.timer" in said.out
    unknown = saga("schedule", "delete", "retran")
    assert unknown.code == 2 and "Nearest: retrain" in unknown.err


def test_an_unknown_stack_is_refused(saga, folder):
    said = saga("schedule", "list", "--stack", "kuberntes")
    assert said.code == 2 and "Did you mean kubernetes?" in said.err


@pytest.mark.parametrize("command", ["apply", "list", "delete"])
def test_help_has_an_example(saga, command):
    out = saga("schedule", command, "--help").out
    assert f"saga schedule {command}" in out and "--json" in out
