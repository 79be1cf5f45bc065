from pathlib import Path

import pytest

from saga.errors import UserInputError
from saga.studies.cells import seed_settings, study_cells
from saga.studies.configuration import SEEDS_PER_DATA_SEED
from saga.studies.reading import read_study
from saga.studies.tuned import Tuned, check_tuned, load_tuned
from tests.studies.filled import study

DATA = "dataset.synthetic.seed"


def test_a_study_on_the_data_that_its_settings_are_chosen_on_is_refused():
    with pytest.raises(UserInputError, match=r"data\.seed is 2, as tuning\.data_seed"):
        study(data={"seed": 2})


def test_data_of_two_data_seeds_never_meet():
    seeds = range(SEEDS_PER_DATA_SEED - 1)
    drawn = [{seed_settings(data, i)[DATA] for i in seeds} for data in (1, 2)]
    assert not drawn[0] & drawn[1] and len(drawn[0]) == len(seeds)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"plan": {"small": ["dlm"]}}, "plan.small: there is no arm 'dlm' among"),
        ({"plan": {"small": ["dml", "dml"]}}, "plan.small names an arm twice"),
        ({"arms": {"a-b": {}}}, "names are lower-case letters"),
        ({"arms": {"dml": {"sett": {}}}}, "arms.dml.sett is not a setting. Nearest: arms.dml.set"),
        ({"seeds": 0}, "seeds must be in [1, 1000), got 0"),
        ({"jobs": 0}, "jobs must be at least 1"),
        ({"targets": [{"regime": "big", "difference": "saga-dml"}]}, "the regime big is not in"),
        ({"targets": [{"regime": "small", "difference": "saga-x"}]}, "there is no arm 'x'"),
        ({"tuning": {"like": {"dml": "saga", "saga": "dml"}}}, "dml takes from saga, which takes"),
        ({"name": "../up"}, "name must be 1 to 60 letters"),
    ],
)
def test_what_cannot_be_is_refused_in_words(changes, message):
    with pytest.raises(UserInputError) as caught:
        study(**changes)
    assert message in str(caught.value)


def test_a_misspelt_setting_of_an_arm_names_the_arm_and_the_nearest_setting():
    wrong = study(arms={"dml": {"set": {"training.weights.grop": 0}}})
    with pytest.raises(UserInputError) as caught:
        study_cells(wrong, None, "tiny.yaml")
    assert "tiny.yaml, arm dml in small: training.weights.grop is not" in str(caught.value)
    assert "training.weights.grpo" in str(caught.value)


def test_a_regime_that_nobody_knows_is_refused_with_those_that_are_known():
    with pytest.raises(UserInputError, match=r"no regime smal\. Known: .*hazy_habitat.*small"):
        study_cells(study(plan={"smal": ["dml"]}), None)


def test_a_file_takes_what_it_does_not_say_from_the_one_it_extends(tmp_path: Path):
    (tmp_path / "base.yaml").write_text("name: base\nseeds: 5\narms: {a: {of: train}}\n")
    (tmp_path / "more.yaml").write_text("extends: base.yaml\nname: more\narms: {b: {}}\n")
    assert read_study(tmp_path / "more.yaml") == {
        "name": "more",
        "seeds": 5,
        "arms": {"a": {"of": "train"}, "b": {}},
    }


def test_files_that_extend_each_other_are_refused(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("extends: a.yaml\n")
    with pytest.raises(UserInputError, match="extends more than 3 files"):
        read_study(tmp_path / "a.yaml")


def test_chosen_settings_survive_the_file_and_are_refused_for_the_data_they_were_chosen_on(
    tmp_path,
):
    setting = {"training.optimizer.encoder_lr": 2e-5}
    arms = dict.fromkeys(("dml", "saga", "kl_only"), setting)
    tuned = Tuned(2, 1, 2, "recall_at_1", {"small": arms}, {"small": dict.fromkeys(arms, 4)})
    path = tmp_path / "tuned.yaml"
    tuned.save(path)
    assert load_tuned(path) == tuned
    check_tuned(tuned, study(), path)
    other = study(data={"seed": 2}, tuning={"data_seed": 3})
    with pytest.raises(UserInputError, match=r"was chosen on data\.seed 2"):
        check_tuned(tuned, other, path)
    del arms["saga"]
    with pytest.raises(UserInputError, match="no settings for saga in small"):
        check_tuned(tuned, study(), path)
    check_tuned(tuned, study(tuning={"like": {"saga": "dml"}}), path)
