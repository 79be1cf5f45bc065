import json

import numpy as np
import pytest

from saga.studies.cells import study_cells
from saga.studies.store import CellStore
from saga.studies.summary import differences_of, study_id, summarise
from saga.studies.table import table
from tests.studies.filled import fill, study

RIGHT = {"pretrained": 0.05, "dml": 0.1, "saga": 0.5, "kl_only": 0.3}


@pytest.fixture
def made(tmp_path):
    store, cells = CellStore(tmp_path), study_cells(study(), None)
    reports = {cell.name: fill(store, cell, RIGHT[cell.arm]) for cell in cells}
    return store, cells, reports


def summary_of(store, cells, config=None):
    return summarise(config or study(), None, cells, store, [], {"git_commit": "abc"})


def test_the_summary_holds_every_seed_and_the_means(made):
    store, cells, reports = made
    summary = summary_of(store, cells)
    assert json.loads(json.dumps(summary, allow_nan=False))["complete"] is True
    arm = summary["regimes"]["small"]["arms"]["saga"]
    expected = [reports[f"small/saga/{seed}"].metrics for seed in range(2)]
    assert arm["per_seed"] == [metrics["recall_at_1"] for metrics in expected]
    for name in ("recall_at_1", "recall_at_4", "nmi", "map_at_r"):
        assert arm[name] == pytest.approx(np.mean([metrics[name] for metrics in expected]))


def test_differences_are_of_the_arms_per_seed_figures(made):
    summary = summary_of(*made[:2])
    regime = summary["regimes"]["small"]
    assert list(regime["differences"]) == [
        "saga-dml",
        "saga-kl_only",
        "pretrained-dml",
        "kl_only-dml",
    ]
    found = regime["differences"]["saga-dml"]
    saga, dml = (regime["arms"][arm]["per_seed"] for arm in ("saga", "dml"))
    assert found["per_seed"] == pytest.approx([a - b for a, b in zip(saga, dml)])
    assert found["low"] <= found["mean"] <= found["high"]
    assert found["seed_low"] <= found["mean"] <= found["seed_high"]


def test_variants_are_compared_with_the_same_variant_of_the_baseline():
    arms = {name: {} for name in ("saga_one_query", "dml_one_query")}
    config = study(arms=arms, plan={"small": ["dml", "saga", *arms]})
    assert "saga_one_query-dml_one_query" in differences_of(config, "small")


@pytest.mark.parametrize(
    ("target", "met"),
    [
        ({"at_least": 0.1, "interval": "above_zero"}, True),
        ({"at_least": 0.99}, False),
        ({"interval": "not_below_zero"}, True),
    ],
)
def test_a_target_is_judged_by_the_numbers(made, target, met):
    config = study(targets=[{"regime": "small", "difference": "saga-dml"} | target])
    summary = summary_of(*made[:2], config)
    (outcome,) = summary["targets"]
    assert outcome["met"] is met and ("NOT met" in outcome["words"]) is not met
    assert summary["verdict"] == f"{int(met)} of 1 targets met."


def test_a_worse_arm_is_not_called_not_below(made):
    config = study(
        targets=[{"regime": "small", "difference": "dml-saga", "interval": "not_below_zero"}]
    )
    assert summary_of(*made[:2], config)["targets"][0]["met"] is False


def test_a_missing_cell_is_shown_and_its_target_is_not_judged(made):
    store, cells, _ = made
    missing = next(cell for cell in cells if cell.name == "small/saga/1")
    (store.folder(missing) / "cell.json").unlink()
    summary = summary_of(store, cells)
    assert summary["complete"] is False
    assert summary["regimes"]["small"]["arms"]["saga"]["per_seed"][1] is None
    assert summary["targets"][0]["met"] is None
    assert "not judged, 1 of 2 seeds are there" in table(summary)


def test_a_report_that_was_altered_is_refused(made):
    store, cells, _ = made
    path = store.folder(cells[0]) / "cell.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps(facts | {"report_digest": "0" * 64}))
    with pytest.raises(Exception, match=r"is not the one that its cell\.json names"):
        summary_of(store, cells)


def test_the_folder_is_the_same_for_the_same_settings_and_another_for_others():
    name = study_id(study(), None)
    assert name == study_id(study(jobs=5), None) and name.startswith("tiny-")
    assert name != study_id(study(data={"seed": 3}), None)


def test_the_text_shows_every_seed(made):
    summary = summary_of(*made[:2])
    text = table(summary)
    for arm in summary["regimes"]["small"]["arms"].values():
        assert " ".join(f"{100 * value:5.1f}" for value in arm["per_seed"]) in text


def test_the_text_says_which_seed_of_an_arm_stopped_early_and_why(made):
    summary = summary_of(*made[:2])
    assert "stopped" not in table(summary)
    arms = summary["regimes"]["small"]["arms"]
    arms["dml"]["training_per_seed"]["stopped_early"] = [None, "the space collapsed"]
    lines = table(summary).splitlines()
    assert lines.count("  seed 1 stopped early: the space collapsed") == 1
    at = lines.index("  seed 1 stopped early: the space collapsed")
    assert lines[at - 1].startswith("dml ")
