"""Explaining a study that was run, and the direction of the verdicts' gradient."""

from pathlib import Path

import pytest

from pipelines.commands.study import load_study
from saga.data.load import load_manifest
from saga.errors import UserInputError
from saga.settings.merging import with_dotted
from saga.settings.typed import plain_values
from saga.studies import explanation
from saga.studies.cell import mined
from saga.studies.cells import build_cell, resolve, study_cells
from saga.studies.explanation import along_training, explain, gradient_cosines
from saga.studies.explanation_table import explanation_table
from saga.studies.runner import Runner
from saga.studies.store import CellStore
from tests.studies.made import write_study

COMMITTED = Path(__file__).parents[2] / "configs" / "studies" / "miniature.yaml"


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explanation, "SIZES", (2,))
        patch.setattr(explanation, "REPEATS", 1)
        yield run_and_explain(tmp_path_factory.mktemp("explained"))


def run_and_explain(folder):
    path = write_study(folder / "study.yaml", seeds=1)
    cells = study_cells(load_study(path, []), None, str(path))
    store = CellStore(folder / "cells")
    assert not Runner(store, folder / "data", {"git_commit": "0"}).run(cells)
    seen = []
    found = explain(cells, store, folder / "data", 1, lambda *at: seen.append(at))
    return found, seen, cells, store, folder


def test_every_arm_whose_tower_moved_is_probed_beside_the_untrained_one(explained):
    found, seen, *_ = explained
    encoders = found["small"]["encoders"]
    assert list(encoders) == ["untrained", "dml", "saga"]
    assert encoders["untrained"][0]["token_change"] == 0.0
    for arm in ("dml", "saga"):
        (figures,) = encoders[arm]
        assert figures["token_change"] > 0
        assert (
            figures["token_change_by_attribute"].keys() == figures["agreement_by_attribute"].keys()
        )
        assert 0 <= figures["without_haze"]["accuracy"] <= 1
    assert seen[-1] == (len(seen), len(seen))


def test_arms_with_verdicts_are_probed_along_their_training(explained):
    found, _, cells, store, folder = explained
    rows = found["small"]["along"]
    assert list(rows) == ["saga"]
    assert [row["step"] for row in rows["saga"]] == [0, 1]
    assert "accuracy/all" in rows["saga"][1]["training"]
    untrained, trained = (found["small"]["encoders"][arm][0] for arm in ("untrained", "saga"))
    assert rows["saga"][0]["unseen"]["accuracy"] == untrained["accuracy"]
    # The training that is probed is the cell's own.
    assert rows["saga"][1]["unseen"]["accuracy"] == pytest.approx(trained["accuracy"], abs=1e-6)


def test_the_table_names_arms_attributes_and_cosines(explained):
    text = explanation_table(explained[0])
    for part in ("small: unseen classes", "untrained", "saga at step", "dml-oracle", "bill color"):
        assert part in text


def test_a_study_that_was_not_run_cannot_be_explained(tmp_path):
    path = write_study(tmp_path / "study.yaml")
    cells = study_cells(load_study(path, []), None, str(path))
    with pytest.raises(UserInputError, match="Run the study first"):
        explain(cells, CellStore(tmp_path / "cells"), tmp_path / "data", 1)


def test_photos_cannot_be_explained(explained):
    config = explained[2][0].config
    other = build_cell(
        with_dotted(plain_values(config), {"dataset.layout": "cub200", "dataset.root": "data"}),
        "test",
    )
    with pytest.raises(UserInputError, match="only the synthetic layout has them"):
        along_training(other, "saga", explained[4], 1)


def test_the_verdicts_gradient_points_where_the_true_descriptions_would(tmp_path):
    """METHOD section 3: rewarded verdicts teach attributes. 64 pairs of hazy birds, untrained encoder."""
    study = load_study(COMMITTED, ["tuned=null"])
    small = {
        "dataset.synthetic.validation_classes": 2,
        "dataset.synthetic.test_classes": 2,
        "dataset.synthetic.images_per_class": 8,
        "dataset.synthetic.seed": 5,
        "mining.pairs": 400,
    }
    config = resolve(study, "hazy_habitat", "saga", [small], "test")
    manifest = load_manifest(config.dataset, tmp_path)
    found = gradient_cosines(config, manifest, mined(config, manifest), (64,), 4)["64"]
    assert len(found["per_batch"]["grpo-oracle"]) == 4
    assert found["mean"]["grpo-oracle"] > 0.03, found
    assert found["mean"]["grpo-oracle"] > abs(found["mean"]["dml-grpo"])
