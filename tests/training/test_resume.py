"""Exact resume: a run that was killed ends as if it had not been."""

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from saga.errors import UserInputError
from saga.training.configuration import CollapseConfig
from saga.training.trainer import Trainer, train
from tests.training.made import EMBEDDED, made_arm, made_pairs
from tests.training.resumable import EVERY, KILLED_AFTER, STEPS, resumable_arm, resumable_pairs

HALFWAY = KILLED_AFTER // EVERY * EVERY
"""Step of the last checkpoint before the kill."""


class StoppedError(Exception):
    """Stands for whatever ends a process."""


def weights_of(trainer):
    return [p.detach().clone() for p in trainer.parameters.all]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def comparable(history):
    """All figures but the time that they took."""
    summary = {k: v for k, v in history.summary.items() if k not in ("seconds", "wait_share")}
    timed = [name for name in history.frame if name.startswith("seconds")]
    return history.frame.drop(columns=timed).astype("Float64"), summary


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As in the killed process: sums over several threads round otherwise."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def uninterrupted(one_thread, birds):
    """A whole run by hand: the trainer at its end, its state halfway, its weights a step later."""
    trainer = Trainer(resumable_arm(), birds, resumable_pairs(birds))
    for _ in range(HALFWAY):
        trainer.step()
    state = kept(trainer.state())
    trainer.step()
    weights = weights_of(trainer)
    while not trainer.finished:
        trainer.step()
    return trainer, state, weights


def kept(state):
    """A copy that further steps do not change."""
    tensors = {name: value.clone() for name, value in state.tensors.items()}
    return dataclasses.replace(state, tensors=tensors, values=plain(state.values))


def plain(values):
    return json.loads(json.dumps(values))


def ended_by(name, birds, tmp_path):
    """The checkpoints of a run that got a signal after step KILLED_AFTER."""
    birds_folder, folder = tmp_path / "birds", tmp_path / "checkpoints"
    birds_folder.mkdir()
    birds.save(birds_folder)
    command = [sys.executable, "-m", "tests.training.killed_run"]
    done = subprocess.run(
        [*command, str(birds_folder), str(folder), str(KILLED_AFTER), name],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == -signal.Signals[name], done.stderr
    return folder


@pytest.mark.parametrize(("name", "saved"), [("SIGKILL", HALFWAY), ("SIGTERM", KILLED_AFTER)])
def test_a_run_that_was_ended_goes_on_to_the_same_weights_and_history(
    birds, uninterrupted, tmp_path, name, saved
):
    """Killed, it goes on from its last checkpoint; told to end, it saves the step under way first."""
    trainer, _, _ = uninterrupted
    folder = ended_by(name, birds, tmp_path)
    assert (folder / f"step-{saved:06d}").is_dir()
    (folder / ".step-000004.abc").mkdir()  # as a kill in the midst of a save leaves it
    told = []
    retriever, history = train(
        resumable_arm(),
        birds,
        resumable_pairs(birds),
        checkpoint_folder=folder,
        progress=lambda at: told.append((at.step, at.resumed_at)),
    )
    assert told == [(step, saved) for step in range(saved + 1, STEPS + 1)]
    assert retriever.digest == trainer.retriever({}).digest
    frame, summary = comparable(history)
    expected, expected_summary = comparable(trainer.history())
    assert summary == expected_summary
    assert frame.equals(expected)
    assert sorted(p.name for p in folder.iterdir()) == ["latest.json", f"step-{STEPS:06d}"]


def test_where_sigterm_does_not_end_the_process_no_half_trained_encoder_comes_out(birds, tmp_path):
    arm = made_arm(EMBEDDED, (1.0, 0.0, 0.0), steps=3, checkpoint_every=0)
    seen, before = [], signal.signal(signal.SIGTERM, lambda *_: seen.append("handled"))
    try:
        with pytest.raises(SystemExit) as caught:
            train(
                arm,
                birds,
                made_pairs(birds),
                checkpoint_folder=tmp_path,
                progress=lambda at: at.step == 1 and os.kill(os.getpid(), signal.SIGTERM),
            )
    finally:
        signal.signal(signal.SIGTERM, before)
    assert caught.value.code == 143 and seen == ["handled"]
    assert (tmp_path / "step-000001").is_dir()


def test_a_finished_run_is_not_trained_again(birds, tmp_path):
    arm = made_arm(EMBEDDED, (1.0, 0.0, 0.0), steps=2, checkpoint_every=1)
    first, history = train(arm, birds, made_pairs(birds), checkpoint_folder=tmp_path)
    files = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    told = []
    again, same_history = train(
        arm, birds, made_pairs(birds), checkpoint_folder=tmp_path, progress=told.append
    )
    assert told == [] and again.digest == first.digest
    assert same_history.digest == history.digest
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == files


# Every part of the state counts ------------------------------------------------------------------


def replaced(state, fresh, part):
    """The state with one part as a fresh run has it."""
    tensors, values = dict(state.tensors), plain(state.values)
    if part in ("parameter", "random"):
        tensors |= {n: v for n, v in fresh.tensors.items() if n.startswith(part + ".")}
    elif part == "optimizer":
        tensors = {n: v for n, v in tensors.items() if not n.startswith("optimizer.")}
    elif part.startswith("sampler."):
        name = part.removeprefix("sampler.")
        values["sampler"][name] = plain(fresh.values)["sampler"][name]
    step = 0 if part == "step" else state.step
    return dataclasses.replace(state, step=step, tensors=tensors, values=values)


SAMPLER = ("sampler.rng", "sampler.cycles", "sampler.order")
PARTS = ("parameter", "optimizer", "random", *SAMPLER, "step")


@pytest.mark.parametrize("part", ["nothing", *PARTS])
def test_leaving_out_a_part_of_the_state_changes_the_result_and_leaving_out_nothing_does_not(
    birds, uninterrupted, part
):
    _, state, weights = uninterrupted
    trainer = Trainer(resumable_arm(), birds, resumable_pairs(birds))
    trainer.restore(replaced(state, trainer.state(), part))
    trainer.step()
    assert same(weights_of(trainer), weights) == (part == "nothing")


def test_the_epoch_of_unmined_pairs_is_part_of_the_state(birds):
    arm = made_arm(EMBEDDED, (1.0, 0.0, 0.0), steps=6)
    whole, resumed, without = (Trainer(arm, birds, made_pairs(birds)) for _ in range(3))
    for _ in range(4):
        whole.step()
    state = kept(whole.state())
    resumed.restore(state)
    without.restore(replaced(state, without.state(), "sampler.epochs"))
    for trainer in (whole, resumed, without):
        while not trainer.finished:
            trainer.step()
    assert same(weights_of(resumed), weights_of(whole))
    assert not same(weights_of(without), weights_of(whole))


def test_the_policy_is_held_to_the_untrained_encoder_also_after_a_resume(birds):
    arm = made_arm(
        EMBEDDED, (0.0, 1.0, 0.0), steps=4, reference_beta=0.5, rollout={"group_size": 8}
    )
    whole, resumed = (Trainer(arm, birds, made_pairs(birds)) for _ in range(2))
    for _ in range(3):
        whole.step()
    resumed.restore(kept(whole.state()))
    assert not same(weights_of(resumed), list(resumed.gatherer.reference.parameters()))
    for trainer in (whole, resumed):
        trainer.step()
    assert same(weights_of(resumed), weights_of(whole))
    apart = [row["loss/reference"] for row in whole.rows]
    assert apart[0] == pytest.approx(0, abs=1e-6) and min(apart[1:]) > 1e-6


def test_counts_of_bad_steps_and_the_history_go_on(birds, tmp_path, monkeypatch):
    monkeypatch.setattr("saga.training.diagnosis.SHARE_OF_THE_START", math.inf)
    arm = made_arm(
        EMBEDDED,
        (1.0, 0.0, 0.0),
        steps=9,
        collapse=CollapseConfig(2.0, patience=4),
        checkpoint_every=1,
    )

    def stop(at):
        if at.step == 4 and not at.resumed_at:
            raise StoppedError

    with pytest.raises(StoppedError):
        train(arm, birds, made_pairs(birds), checkpoint_folder=tmp_path, progress=stop)
    _, history = train(arm, birds, made_pairs(birds), checkpoint_folder=tmp_path, progress=stop)
    assert history.frame["step"].tolist() == [1, 2, 3, 4]
    assert "for 4 steps" in history.summary["stopped_early"]
    told = []
    _, again = train(
        arm, birds, made_pairs(birds), checkpoint_folder=tmp_path, progress=told.append
    )
    assert told == [] and again.digest == history.digest


# Which runs share a checkpoint -------------------------------------------------------------------


def test_a_checkpoint_of_other_settings_data_or_pairs_is_not_continued(birds, tmp_path):
    arm = made_arm(EMBEDDED, (1.0, 0.0, 0.0), steps=2, checkpoint_every=1)
    train(arm, birds, made_pairs(birds), checkpoint_folder=tmp_path)
    other_seed = dataclasses.replace(arm, training=dataclasses.replace(arm.training, seed=1))
    for config, pairs in ((other_seed, made_pairs(birds)), (arm, made_pairs(birds, pairs=10))):
        told = []
        train(config, birds, pairs, checkpoint_folder=tmp_path, progress=told.append)
        assert [at.resumed_at for at in told] == [0, 0]


def test_an_altered_checkpoint_is_refused_by_train(birds, tmp_path):
    arm = made_arm(EMBEDDED, (1.0, 0.0, 0.0), steps=2, checkpoint_every=1)
    train(arm, birds, made_pairs(birds), checkpoint_folder=tmp_path)
    path = tmp_path / "step-000002" / "values.json"
    path.write_text(path.read_text().replace('"rows"', '"Rows"'))
    with pytest.raises(UserInputError, match="cannot be resumed"):
        train(arm, birds, made_pairs(birds), checkpoint_folder=tmp_path)


# Determinism -------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bits_whatever_the_global_generator_and_another_seed_does_not(
    birds, uninterrupted
):
    whole, _, _ = uninterrupted
    torch.manual_seed(123)
    retriever, history = train(resumable_arm(), birds, resumable_pairs(birds))
    assert retriever.digest == whole.retriever({}).digest
    frame, _ = comparable(history)
    assert frame.equals(comparable(whole.history())[0])
    other = Trainer(resumable_arm(seed=2), birds, resumable_pairs(birds)).step()
    for name in ("loss/dml", "loss/grpo", "loss/kl", "rollout/length"):
        assert other[name] != frame[name][0], name
