from pathlib import Path

import pytest

from pipelines.commands.study import load_study
from saga.errors import UserInputError
from saga.studies.cells import study_cells
from tests.studies.made import write_study

CONFIGS = Path(__file__).parents[2] / "configs" / "studies"


@pytest.fixture
def study(tmp_path):
    def load(*overrides: str, **changes):
        return load_study(write_study(tmp_path / "study.yaml", **changes), list(overrides))

    return load


def test_cells_are_made_seed_by_seed_and_the_longest_of_a_seed_first(study):
    cells = study_cells(study(), None)
    assert [cell.seed for cell in cells] == [0] * 4 + [1] * 4
    assert [cell.arm for cell in cells[:4]] == ["saga", "kl_only", "dml", "pretrained"]


def test_a_seed_decides_data_pairs_training_and_pooler(study):
    cell = next(c for c in study_cells(study(), None) if (c.arm, c.seed) == ("saga", 1))
    config = cell.config
    assert config.dataset.synthetic.seed == 1001
    assert (config.mining.seed, config.training.seed, config.encoder.pooler.seed) == (1, 1, 1)


def test_arms_of_a_seed_share_data_pairs_steps_and_judgement(study):
    cells = [c.config for c in study_cells(study(), None) if c.seed == 0 and c.config.of == "train"]
    for name in ("dataset", "mining", "evaluation", "supervisor"):
        assert len({repr(getattr(config, name)) for config in cells}) == 1, name
    assert {(c.training.steps, c.encoder.pooler.kind) for c in cells} == {(1, "attribute")}


def test_a_quick_study_takes_the_cells_of_the_whole_one(study):
    whole = {cell.folder for cell in study_cells(study(), None)}
    assert {cell.folder for cell in study_cells(study("seeds=1"), None)} < whole
    assert {cell.folder for cell in study_cells(study("jobs=1"), None)} == whole


@pytest.mark.parametrize(
    "override", ["training.steps=2", "data.seed=3", "regimes.small={dataset.synthetic.haze: 0.1}"]
)
def test_what_decides_a_figure_makes_another_cell(study, override):
    def of(study):
        return {c.folder for c in study_cells(study, None) if c.arm == "saga"}

    assert not of(study()) & of(study(override))


def test_untrained_arms_do_not_depend_on_the_training(study):
    def of(study):
        return {c.folder for c in study_cells(study, None) if c.arm == "pretrained"}

    assert of(study()) == of(study("training.steps=2"))


def test_a_misspelt_setting_of_an_arm_is_named_with_the_arm_and_the_nearest(study):
    arms = {"dml": {"set": {"training.wieghts.kl": 0}}}
    with pytest.raises(UserInputError, match=r"arm dml in small.*training\.wieghts.*weights"):
        study_cells(study(arms=arms), None)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.seed=2", "data.seed is 2, as tuning.data_seed"),
        ("plan={small: [dml, dlm]}", "there is no arm 'dlm'"),
        ("plan={small: [dml, dml]}", "names an arm twice"),
        ("seeds=0", "seeds must be in"),
        ("sedes=3", "sedes is not a setting. Nearest: seeds"),
    ],
)
def test_what_cannot_be_a_study_is_refused(study, override, message):
    with pytest.raises(UserInputError) as caught:
        study(override)
    assert message in str(caught.value)


@pytest.mark.parametrize(("name", "grpo"), [("miniature", 1.0), ("full", 3.0)])
def test_in_the_committed_studies_arms_differ_by_what_their_names_say(name, grpo):
    study = load_study(CONFIGS / f"{name}.yaml", ["tuned=null"])
    cells = [c for c in study_cells(study, None) if c.regime == "hazy_habitat" and c.seed == 0]
    weights = {c.arm: c.config.training.weights for c in cells}
    expected = {
        "dml": (0.5, 0, 0),
        "kl": (0.5, 0, 5.0),
        "grpo": (0.5, grpo, 0),
        "saga": (0.5, grpo, 5.0),
        "kl_only": (0, 0, 5.0),
    }
    assert {
        arm: (weights[arm].dml, weights[arm].grpo, weights[arm].kl) for arm in expected
    } == expected
    trained = [c.config for c in cells if c.config.of == "train"]
    assert len({(c.training.steps, c.mining.pairs) for c in trained}) == 1
    assert study.data.seed != study.tuning.data_seed
