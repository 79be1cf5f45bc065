"""When training is stopped early, and why."""

import json
import math

import pytest
import torch

from saga.training.configuration import CollapseConfig
from saga.training.diagnosis import CollapseWatch, embedding_metrics
from saga.training.trainer import train
from tests.training.made import made_arm, made_pairs, script_answers

CONFIG = CollapseConfig(min_spread=0.1, patience=3, barren_steps=2)


def told(watch, *steps):
    """The reasons given after some (spread, contributing, finite) steps."""
    return [watch.observe(*step) for step in steps]


# Figures -----------------------------------------------------------------------------------------


def test_spread_and_similarities_equal_a_loop_over_pairs():
    z = torch.nn.functional.normalize(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)))
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    same, different = [], []
    for i in range(6):
        for j in range(i):
            similarity = sum(a * b for a, b in zip(z[i].tolist(), z[j].tolist()))
            (same if labels[i] == labels[j] else different).append(similarity)
    metrics = embedding_metrics(z, labels)
    every = same + different
    assert metrics["embedding/spread"] == pytest.approx(1 - sum(every) / 15, abs=1e-6)
    assert metrics["embedding/similarity_same"] == pytest.approx(sum(same) / 3, abs=1e-6)
    assert metrics["embedding/similarity_different"] == pytest.approx(sum(different) / 12, abs=1e-6)
    for i in range(10):
        share = sum(-1 + i / 5 <= s < -0.8 + i / 5 for s in every) / 15
        assert metrics[f"embedding/histogram_{i}"] == pytest.approx(share)


def test_equal_embeddings_have_no_spread_and_their_pairs_are_still_counted():
    z = torch.nn.functional.normalize(torch.ones(4, 7))
    metrics = embedding_metrics(z, torch.tensor([0, 0, 1, 1]))
    assert metrics["embedding/spread"] == pytest.approx(0, abs=1e-6)
    assert sum(metrics[f"embedding/histogram_{i}"] for i in range(10)) == pytest.approx(1)


# The watch ---------------------------------------------------------------------------------------


def test_a_flat_space_stops_training_after_patience_and_says_so():
    watch = CollapseWatch(CONFIG)
    assert told(watch, (0.5, 1, True), (0.05, 1, True), (0.05, 1, True)) == [None] * 3
    (reason,) = told(watch, (0.05, 1, True))
    assert "collapsed" in reason and "spread 0.0500 stayed below 0.1 for 3 steps" in reason
    assert "learning rates" in reason


def test_one_good_step_starts_the_count_again():
    watch = CollapseWatch(CONFIG)
    steps = [(0.1, 1, True), (0.05, 1, True), (0.05, 1, True), (0.2, 1, True)] * 3
    assert told(watch, (0.2, 1, True), *steps) == [None] * 13
    assert told(watch, *[(0.5, 0, True), (0.5, 0.1, True)] * 3) == [None] * 6


def test_a_space_that_begins_narrow_may_stay_so_but_not_lose_half_of_it():
    watch = CollapseWatch(CONFIG)
    assert told(watch, *[(0.04, 1, True), (0.021, 1, True)] * 5) == [None] * 10
    *_, reason = told(watch, *[(0.019, 1, True)] * 3)
    assert "spread 0.0190 stayed below 0.02 for 3 steps" in reason


def test_a_resumed_watch_counts_on_from_the_first_step_s_spread():
    watch, resumed = CollapseWatch(CONFIG), CollapseWatch(CONFIG)
    told(watch, (0.04, 1, True), (0.019, 1, True), (0.019, 0, True))
    resumed.load_state_dict(json.loads(json.dumps(watch.state_dict())))
    assert resumed == watch
    assert "collapsed" in told(resumed, (0.019, 1, True))[0]


def test_steps_without_a_contributing_pair_stop_training_and_say_so():
    watch = CollapseWatch(CONFIG)
    first, second = told(watch, (0.5, 0.0, True), (0.5, 0.0, True))
    assert first is None and "no pair contributed for 2 steps" in second


def test_an_arm_without_rollouts_is_never_barren():
    assert told(CollapseWatch(CONFIG), *[(0.5, None, True)] * 9) == [None] * 9


def test_what_is_not_finite_stops_training_at_once():
    (reason,) = told(CollapseWatch(CONFIG), (0.5, 1, False))
    assert "not finite" in reason and "learning rates" in reason


@pytest.mark.parametrize("step", [(0.0, 1, True), (0.5, 0.0, True)])
def test_zero_patience_never_stops(step):
    watch = CollapseWatch(CollapseConfig(min_spread=0.1, patience=0, barren_steps=0))
    assert told(watch, *[step] * 50) == [None] * 50


# Through train() ---------------------------------------------------------------------------------


def test_a_collapsed_space_ends_the_run_early_with_its_reason(birds, tiny, monkeypatch):
    monkeypatch.setattr("saga.training.diagnosis.SHARE_OF_THE_START", math.inf)
    arm = made_arm(tiny, (1.0, 0.0, 0.0), steps=6, collapse=CollapseConfig(2.0, patience=2))
    seen = []
    _, history = train(arm, birds, made_pairs(birds), progress=lambda at: seen.append(at.step))
    assert seen == [1, 2] and len(history.frame) == history.summary["steps"] == 2
    assert history.summary["planned_steps"] == 6
    assert "collapsed" in history.summary["stopped_early"]


def test_a_supervisor_that_never_disagrees_ends_the_run_early(birds, tiny, prompt, monkeypatch):
    script_answers(monkeypatch, prompt, lambda p, g: None)
    arm = made_arm(tiny, steps=6, max_rounds=1, collapse=CollapseConfig(barren_steps=3))
    _, history = train(arm, birds, made_pairs(birds))
    assert history.summary["steps"] == 3
    assert "no pair contributed" in history.summary["stopped_early"]
    assert history.summary["parsed_share"] == history.summary["contributing_share"] == 0


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (0.0, 1.0, 1.0), (1.0, 0.0, 0.0)])
def test_weights_that_ran_away_end_the_run_with_their_reason(
    birds, tiny, prompt, monkeypatch, weights, tmp_path
):
    script_answers(monkeypatch, prompt)
    rates = {"encoder_lr": 1e30, "pooler_lr": 1e30, "warmup_fraction": 0.0}
    arm = made_arm(tiny, weights, optimizer=rates, steps=5, checkpoint_every=1)
    metrics = []
    _, history = train(
        arm,
        birds,
        made_pairs(birds),
        checkpoint_folder=tmp_path,
        progress=lambda at: metrics.append(at.metrics),
    )
    assert history.summary["steps"] == 2
    assert "not finite" in history.summary["stopped_early"]
    assert not math.isfinite(metrics[1]["embedding/spread"])
    # What is not a number is null in the history, which can be saved and read again.
    assert history.frame["embedding/spread"].isna().tolist() == [False, True]
    history.save(tmp_path)
    assert type(history).load(tmp_path).digest == history.digest
