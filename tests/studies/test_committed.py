"""The studies that come with the project."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from pipelines.commands.study import load_study
from saga.studies.cells import study_cells
from saga.studies.tuned import load_tuned
from saga.studies.tuning import trials

STUDIES = Path(__file__).parents[2] / "configs" / "studies"


def cells_of(name: str):
    return study_cells(load_study(STUDIES / name, ["tuned=null", "seeds=1"]), None)


@pytest.mark.parametrize("name", ["miniature.yaml", "full.yaml", "large.yaml"])
def test_the_arms_of_a_regime_have_the_same_data_pairs_and_steps(name):
    trained = [cell for cell in cells_of(name) if cell.config.of == "train"]
    for regime in {cell.regime for cell in trained}:
        configs = [cell.config for cell in trained if cell.regime == regime]
        for section in ("dataset", "mining", "evaluation"):
            assert len({str(asdict(getattr(config, section))) for config in configs}) == 1
        assert len({config.training.steps for config in configs}) == 1


def test_the_arms_of_the_main_table_have_one_pooler_and_differ_by_their_weights():
    trained = [cell.config for cell in cells_of("miniature.yaml") if cell.config.of == "train"]
    assert {config.encoder.pooler for config in trained} == {trained[0].encoder.pooler}
    assert trained[0].encoder.pooler.kind == "attribute"
    weights = trained[0].training.weights
    assert len({str(replace(config.training, weights=weights)) for config in trained}) == 1


def test_what_was_tried_was_tried_on_data_that_no_study_reports_and_no_rate_was_chosen_on():
    tries = load_study(STUDIES / "tries.yaml", [])
    names = ("miniature", "full", "large")
    others = [load_study(STUDIES / f"{name}.yaml", []) for name in names]
    used = {s.data.seed for s in others} | {s.tuning.data_seed for s in others}
    assert tries.tuning.data_seed not in used
    cells = [cell for trial in trials(tries) for cell in trial.cells]
    assert {cell.config.split for cell in cells} == {"validation"}
    rates = {cell.arm: cell.config.training.optimizer for cell in cells}
    tuned = load_tuned(STUDIES / "tuned-shallow.yaml").settings["hazy_habitat"]
    for arm in ("dml", "kl", "saga"):
        chosen = replace(rates[arm], **{name.split(".")[-1]: v for name, v in tuned[arm].items()})
        assert rates[arm] == chosen


def test_the_full_study_has_the_arms_of_the_miniature():
    small, full = (
        load_study(STUDIES / name, ["tuned=null"]) for name in ("miniature.yaml", "full.yaml")
    )
    assert small.arms.items() <= full.arms.items()
    assert set(small.plan["hazy_habitat"]) <= set(full.plan["hazy_habitat"])
