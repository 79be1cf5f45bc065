import json
from pathlib import Path

import pytest

from saga.supervisors.checkpoint import load_checkpoint
from saga.supervisors.configuration import SupervisorConfig

CONFIG = """
stages:
  - {image_size: 32, steps: 2, learning_rate: 1.0e-3, groups: 2, probe_weight: 0.5}
groups_per_step: 2
held_out_groups: 1
workers: 1
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    return tmp_path / "tiny.yaml"


def test_the_folder_is_a_supervisor_and_says_how_it_was_made(saga, config, tmp_path):
    output = tmp_path / "supervisor"
    said = saga("build-supervisor", config, "--output", output, "--set", "seed=3", "--json")
    assert said.code == 0, said.err
    assert "pretrain: 2 of 2" in said.err
    assert said.facts["output"] == str(output) and said.facts["config"]["seed"] == 3
    assert 0 <= said.facts["accuracy"]["verdict"] <= 1
    assert json.loads((output / "pretraining.json").read_text())["config"]["seed"] == 3
    checkpoint = load_checkpoint(SupervisorConfig(str(output), image_size=32, device="cpu"))
    assert checkpoint.backbone.family == "qwen3_vl"
    (output / "pretraining.json").write_text("{}")
    with pytest.raises(Exception, match="pretraining.json"):
        load_checkpoint(SupervisorConfig(str(output), image_size=32, device="cpu"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stages=[]", "stages: at least one is needed."),
        ("groups_per_step=3", "groups_per_step is 3, but a stage has 2 groups in all."),
        ("clutter=2", "clutter must be in [0, 1], got 2.0."),
        ("worker=2", "worker is not a setting. Nearest: workers (an integer ≥ 1, now 1)."),
        ("seed=-1", "seed must be in [0, 2^31), got -1."),
        (
            "stages=[{image_size: 40, steps: 1, learning_rate: 1, groups: 2, probe_weight: 0}]",
            "stages[0].image_size must be a multiple of 16, at least 32, got 40.",
        ),
        ("stages=[{image_size: 32}]", "stages[0].steps is missing."),
        ("stages=[{steps: many}]", "stages[0].steps must be an integer; got 'many' (text)."),
    ],
)
def test_a_wrong_setting_is_refused_before_the_work(saga, config, tmp_path, override, message):
    said = saga("build-supervisor", config, "--output", tmp_path / "s", "--set", override)
    assert said.code == 2 and f"--set {override[:100]}" in said.err and message in said.err
    assert not (tmp_path / "s").exists()


def test_a_folder_that_holds_something_is_refused_before_the_work(saga, config, tmp_path):
    said = saga("build-supervisor", config, "--output", tmp_path)
    assert said.code == 2 and f"--output {tmp_path} exists already and is not empty" in said.err
