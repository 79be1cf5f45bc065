import json
import shutil

import pytest

TINY = ["tests/e2e/tiny.yaml", "--set", "training.steps=1", "--seeds", "2", "--json"]
REGRESSIONS = {"channels_swapped", "wrong_normalisation", "wrong_tokens", "class_forgotten"}


@pytest.fixture
def calibrated(saga, tmp_path):
    """The command on the tiny example, and where it wrote."""

    def run(*more):
        return saga("gates", "calibrate", *TINY, "--output", tmp_path / "out", *more)

    return run


def test_pairs_of_seeds_and_every_regression_are_judged(calibrated, tmp_path, monkeypatch):
    monkeypatch.setenv("SAGA_HOME", str(tmp_path / "home"))
    said = calibrated()
    facts = said.facts
    kinds = {tally["kind"]: tally for tally in facts["tallies"]}
    assert set(kinds) == REGRESSIONS | {"A/A"}
    assert kinds["A/A"]["total"] == 2 and kinds["A/A"]["classes"] == 6
    assert kinds["wrong_tokens"]["total"] == 2 and 1 <= kinds["class_forgotten"]["total"] <= 6
    assert said.code == (3 if facts["summary"]["missed"] else 0)
    page = (tmp_path / "out" / "calibration.md").read_text()
    assert f"{facts['summary']['missed']} of {facts['summary']['planted']}" in page
    assert json.loads((tmp_path / "out" / "calibration.json").read_text())["tallies"]

    # Trained encoders are kept: the same figures, without a second training.
    trained = sorted((tmp_path / "home" / "calibration").iterdir())
    assert len(trained) == 2
    monkeypatch.setattr("saga.training.trainer.train", None)
    assert calibrated().facts["recall_at_1"] == facts["recall_at_1"]
    shutil.rmtree(tmp_path / "home")


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (["--policy", "nowhere.yaml"], "nowhere.yaml"),
        (["--set", "oops=1"], "oops is not a setting"),
        (["--set", "dataset.synthetic.test_classes=1"], "test_classes must be at least 2"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_trained(calibrated, monkeypatch, more, problem):
    monkeypatch.setattr("pipelines.commands.calibrate._train", None)
    said = calibrated(*more)
    assert said.code == 2 and problem in said.err + said.out
