import json
from pathlib import Path

import pytest
import yaml

from saga.studies.runner import Runner
from tests.studies.made import STUDY


@pytest.fixture
def config(tmp_path, monkeypatch) -> Path:
    """One cell that needs no training, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAGA_HOME", str(tmp_path / "home"))
    raw = STUDY | {"seeds": 1, "plan": {"small": ["pretrained"]}, "targets": []}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    return tmp_path / "tiny.yaml"


def test_a_study_leaves_its_table_and_the_same_command_reuses_its_cells(saga, config):
    said = saga("study", config, "--json")
    assert said.code == 0, said.err
    (cell,) = (p for p in Path("studies/cells").iterdir() if (p / "cell.json").exists())
    facts = json.loads((cell / "cell.json").read_text())
    arm = said.facts["regimes"]["small"]["arms"]["pretrained"]
    assert arm["per_seed"] == [facts["metrics"]["recall_at_1"]]
    folder = Path("studies") / said.facts["study_id"]
    assert json.loads((folder / "summary.json").read_text())["regimes"] == said.facts["regimes"]
    assert (folder / "report.html").exists()
    made = (cell / "cell.json").stat().st_mtime_ns
    again = saga("study", config)
    assert again.code == 0 and "pretrained" in again.out
    assert (cell / "cell.json").stat().st_mtime_ns == made


def test_a_cell_that_fails_ends_in_exit_code_1_and_its_log_is_named(saga, config, monkeypatch):
    run = Runner.run

    def broken(self, cells, again=False):
        self.program = ("false",)
        return run(self, cells, again)

    monkeypatch.setattr(Runner, "run", broken)
    said = saga("study", config)
    assert said.code == 1
    assert "small/pretrained/0 failed" in said.err and "studies/cells/logs/" in said.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "data.sed=3"], "data.sed is not a setting. Nearest: data.seed"),
        (["--set", "data.seed=2"], "data.seed is 2, as tuning.data_seed"),
        (["--cell", "small/dml/0"], "there is no such cell. Write regime/arm/seed, for example"),
        (["--set", "tuned=none.yaml"], "Write it with `saga study CONFIG --tune`"),
        (["--tune"], "tuned is not set"),
        (["--tune", "--quick"], "--tune goes with neither"),
        (["--explain", "--tune"], "--explain goes with neither"),
        (["--explain"], "none of its trained cells is whole. Run the study first."),
    ],
)
def test_wrong_input_is_refused_before_the_work(saga, config, arguments, message):
    said = saga("study", config, *arguments)
    assert said.code == 2 and message in said.err
    assert not Path("studies").exists()
