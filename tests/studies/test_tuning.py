from dataclasses import replace

import pytest

from saga.data import images, reading
from saga.errors import UserInputError
from saga.studies.cell import run_cell
from saga.studies.cells import study_cells
from saga.studies.configuration import ArmSpec
from saga.studies.store import CellStore
from saga.studies.tuned import Tuned
from saga.studies.tuning import ENCODER_LR, choose, joined, searches, trials
from tests.studies.filled import fill, study


def test_every_arm_is_tried_at_the_same_settings_and_a_frozen_one_at_those_that_differ_for_it():
    tried = trials(study())
    settings = {arm: [t.setting for t in tried if t.arm == arm] for arm in ("dml", "saga")}
    assert settings["dml"] == settings["saga"] and len(settings["dml"]) == 4
    frozen = [t.setting for t in tried if t.arm == "kl_only"]
    assert frozen == [{"training.optimizer.pooler_lr": rate} for rate in (1e-3, 3e-3)]
    assert {t.arm for t in tried} == {"dml", "saga", "kl_only"}, "nothing to choose for others"


@pytest.mark.parametrize(
    "changes",
    [
        {"training.optimizer.pooler_lr": 0.5},
        {"training.optimizer": {"pooler_lr": 0.5}},
        {"training": {"optimizer": {"pooler_lr": 0.5}}},
    ],
)
def test_what_an_arm_gives_itself_is_not_searched(changes):
    ours = study()
    arm = ArmSpec(set=ours.arms["dml"].set | changes)
    tried = [t for t in trials(replace(ours, arms=ours.arms | {"dml": arm})) if t.arm == "dml"]
    assert [t.setting for t in tried] == [{ENCODER_LR: 1e-4}, {ENCODER_LR: 2e-4}]
    rates = {cell.config.training.optimizer.pooler_lr for t in tried for cell in t.cells}
    assert rates == {0.5}


def test_the_tuner_works_on_validation_classes_of_data_that_no_study_draws():
    ours = study()
    tuning = [cell for trial in trials(ours) for cell in trial.cells]
    drawn = {cell.config.dataset.synthetic.seed for cell in tuning}
    assert {cell.config.split for cell in tuning} == {"validation"}
    judged = study_cells(ours, None)
    assert {cell.config.split for cell in judged} == {"test"}
    assert not drawn & {cell.config.dataset.synthetic.seed for cell in judged}
    assert {cell.config.training.steps for cell in tuning} == {ours.tuning.steps}


def test_no_test_image_is_opened_by_a_cell_of_the_tuner(tmp_path, monkeypatch):
    opened = set()
    read = reading.read_file

    def noted(path, *arguments):
        opened.add(path.stem)
        return read(path, *arguments)

    for module in (images, reading):
        monkeypatch.setattr(module, "read_file", noted)
    cell = next(t.cells[0] for t in trials(study()) if t.arm == "dml")
    result = run_cell("dml", cell.config, tmp_path, None, lambda *told: None)
    frame = result.manifest.frame
    assert set(frame["split"]) == {"train", "validation"}
    assert set(result.report.per_query["image_id"]) == set(
        frame.loc[frame["split"] == "validation", "image_id"]
    )
    drawn = {path.stem for path in tmp_path.rglob("*.png")}
    hidden = drawn - set(frame["image_id"])
    assert hidden, "there are test images that could have been opened"
    assert opened and not opened & hidden


def test_the_best_mean_is_chosen_and_everything_tried_is_told(tmp_path):
    store, tried = CellStore(tmp_path), trials(study())
    for number, trial in enumerate(tried):
        fill(store, trial.cells[0], 0.1 + 0.05 * number)
    tuned, log = choose(study(), tried, store)
    for arm in ("dml", "saga", "kl_only"):
        entries = [entry for entry in log["settings"] if entry["arm"] == arm]
        best = max(entries, key=lambda entry: entry["mean"])
        assert tuned.settings["small"][arm] == best["setting"] and best["chosen"]
        assert tuned.tried["small"][arm] == len(entries)
        assert sum(entry["chosen"] for entry in entries) == 1
    assert (tuned.data_seed, log["split"], log["commits"]) == (2, "validation", ["abc"])


def test_an_arm_that_takes_anothers_settings_is_not_searched():
    like = study(tuning={"like": {"saga": "dml"}})
    assert searches(like) == [("small", "dml"), ("small", "kl_only")]


def test_earlier_choices_are_kept_only_where_they_were_made_the_same_way():
    old = Tuned(2, 1, 2, "recall_at_1", {"small": {"a": {"x": 1.0}, "b": {"x": 1.0}}})
    new = Tuned(2, 1, 2, "recall_at_1", {"small": {"b": {"x": 2.0}}})
    assert joined(old, new).settings == {"small": {"a": {"x": 1.0}, "b": {"x": 2.0}}}
    longer = Tuned(2, 1, 9, "recall_at_1", new.settings)
    assert joined(old, longer) == longer


def test_without_a_space_there_is_nothing_to_tune():
    bare = replace(study(), tuning=replace(study().tuning, space={}))
    with pytest.raises(UserInputError, match=r"tuning\.space is empty"):
        trials(bare)
