"""The pipeline benchmark: what it reads off other processes."""

import sys
import time

import pytest

from benchmarks import pipeline
from benchmarks.empty_pipeline import empty_pipeline, plain

LINES = "import sys, time; {}; time.sleep(60)"


def speaking(*lines):
    """A process that says some lines on stderr and then takes a minute."""
    said = "; ".join(f"print({line!r}, file=sys.stderr, flush=True)" for line in lines)
    return [sys.executable, "-c", LINES.format(said)]


def test_milestones_end_with_the_first_training_step():
    began = time.monotonic()
    found = pipeline.milestones(
        speaking(
            "load the dataset: 0 of 9", "load the dataset: 9 of 9", "train dml: 1 of 8", "x: 1"
        )
    )
    assert list(found) == ["load the dataset", "train dml", "first_training_step"]
    assert found["first_training_step"] == found["train dml"] >= found["load the dataset"] > 0
    assert time.monotonic() - began < 50, "the process was not ended"


def test_a_process_that_never_trains_is_an_error_that_shows_what_it_said():
    command = [sys.executable, "-c", "raise SystemExit('no such dataset')"]
    with pytest.raises(RuntimeError, match="no such dataset"):
        pipeline.milestones(command)


def test_a_process_gets_a_new_home_and_no_settings_of_the_user(monkeypatch):
    monkeypatch.setenv("ZENML_CONFIG_PATH", "mine")
    monkeypatch.setenv("SAGA_HOME", "mine")
    with pipeline.fresh_home() as one, pipeline.fresh_home() as two:
        assert "ZENML_CONFIG_PATH" not in one
        assert len({one["SAGA_HOME"], two["SAGA_HOME"], "mine"}) == 3


def test_imports_are_timed_in_processes_of_their_own():
    found = pipeline.imports(1, {"nothing": "pass", "work": "sum(range(3_000_000))"})
    assert set(found) == {"nothing", "work"}
    assert found["work"]["cpu"] > 0 and found["work"]["wall"] > 0


def test_the_table_names_every_figure():
    found = {
        "imports": {"torch": {"wall": 3.0, "cpu": 2.0}},
        "zenml": {"seconds_per_step": 0.1, "seconds_per_run": 1.0},
        "first_training_step": {
            way: {"first_training_step": seconds}
            for way, seconds in (("saga_run", 40.0), ("plain_calls", 12.0))
        },
    }
    text = pipeline.table(found)
    assert "torch" in text and "0.100 s a step" in text and "plain_calls: 12.0 s" in text


def test_the_empty_pipeline_has_as_many_steps_as_asked_for():
    run = empty_pipeline()(2)
    assert sorted(run.steps) == ["nothing_0", "nothing_1"]
    assert plain(2) > 0
