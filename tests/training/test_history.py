"""The history of a run as an artifact."""

import json
import shutil

import pandas as pd
import pytest

from saga.errors import UserInputError
from saga.training.history import SUMMARY, TrainingHistory, history_of
from saga.training.trainer import train
from tests.training.made import EMBEDDED, made_arm, made_pairs


@pytest.fixture(scope="module")
def history(birds):
    arm = made_arm(EMBEDDED, steps=5, max_rounds=1, contributing_pairs=4)
    return train(arm, birds, made_pairs(birds))[1]


@pytest.fixture
def saved(history, tmp_path):
    history.save(tmp_path)
    return tmp_path


def test_there_is_one_row_a_step_and_a_summary_of_them(history):
    frame, summary = history.frame, history.summary
    assert frame["step"].tolist() == [1, 2, 3, 4, 5]
    assert summary["arm"] == "saga" and summary["steps"] == summary["planned_steps"] == 5
    assert summary["seed"] == 0 and summary["stopped_early"] is None
    assert summary["seconds"] == pytest.approx(frame["seconds"].sum())
    assert summary["reward_first"] == pytest.approx(frame["rollout/reward"][:2].mean())
    assert summary["reward_last"] == pytest.approx(frame["rollout/reward"][3:].mean())
    assert summary["contributing_share"] == pytest.approx(frame["rollout/contributing"].mean())
    assert summary["parsed_share"] == pytest.approx(frame["rollout/parsed"].mean())


def test_waiting_of_ranks_is_weighed_by_the_steps_that_several_took(history):
    rows = [{"step": 1, "seconds": 9.0}]
    for step, seconds, shares in ((2, 1.0, (0.4, 0.0)), (3, 3.0, (0.0, 0.2))):
        of_each = {f"ranks/wait_share_of_{rank}": share for rank, share in enumerate(shares)}
        mean = {"ranks/wait_share": sum(shares) / 2, "ranks/wait_share_max": max(shares)}
        rows.append({"step": step, "seconds": seconds} | of_each | mean)
    summary = history_of(rows, {}).summary
    assert summary["rank_wait_share"] == pytest.approx((1 * 0.2 + 3 * 0.1) / 4)
    assert summary["rank_wait_share_max"] == pytest.approx(3 * 0.2 / 4)
    assert "rank_wait_share" not in history.summary


def test_it_survives_saving_with_its_digest(history, saved):
    loaded = TrainingHistory.load(saved)
    assert loaded.digest == history.digest and loaded.summary == history.summary
    pd.testing.assert_frame_equal(
        loaded.frame, history.frame.astype("Float64"), check_dtype=False, check_exact=True
    )


def test_a_figure_that_did_not_occur_is_null_not_nan(tmp_path):
    rows = [{"step": 1, "loss/kl": 0.5}, {"step": 2, "loss/kl": None}, {"step": 3}]
    TrainingHistory(pd.DataFrame(rows), {"arm": "saga"}).save(tmp_path)
    loaded = TrainingHistory.load(tmp_path).frame
    assert loaded["loss/kl"].isna().tolist() == [False, True, True]
    assert loaded["loss/kl"].sum() == 0.5


def test_the_digest_follows_rows_and_summary(history):
    changed = history.frame.copy()
    changed.loc[2, "loss/dml"] += 1e-9
    assert TrainingHistory(changed, history.summary).digest != history.digest
    assert TrainingHistory(history.frame, history.summary | {"seed": 1}).digest != history.digest
    assert TrainingHistory(history.frame.copy(), dict(history.summary)).digest == history.digest


def test_an_altered_summary_is_refused(saved):
    facts = json.loads((saved / SUMMARY).read_text())
    facts["summary"]["reward_last"] = 1.0
    (saved / SUMMARY).write_text(json.dumps(facts))
    with pytest.raises(UserInputError, match="altered"):
        TrainingHistory.load(saved)


def test_altered_rows_are_refused(history, saved, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    frame = history.frame.copy()
    frame.loc[0, "loss/dml"] = 0.0
    TrainingHistory(frame, history.summary).save(other)
    shutil.copy(other / "steps.parquet", saved / "steps.parquet")
    with pytest.raises(UserInputError, match="altered"):
        TrainingHistory.load(saved)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"columns": 3, "summary": {}, "digest": ""}'])
def test_a_damaged_summary_is_refused(saved, text):
    (saved / SUMMARY).write_text(text)
    with pytest.raises(UserInputError):
        TrainingHistory.load(saved)


@pytest.mark.parametrize("name", ["steps.parquet", SUMMARY])
def test_a_missing_file_is_refused(saved, name):
    (saved / name).unlink()
    with pytest.raises(UserInputError):
        TrainingHistory.load(saved)


def test_a_damaged_table_is_refused(saved):
    (saved / "steps.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(UserInputError):
        TrainingHistory.load(saved)
