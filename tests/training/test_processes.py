"""Two processes train what one does, and say what went wrong."""

from dataclasses import replace

import pytest
import torch

from saga.errors import UserInputError
from saga.training.configuration import DistributedConfig
from saga.training.processes import train_arm, train_in_processes
from saga.training.ranks import Ranks
from saga.training.trainer import _check_ranks, train
from tests.training.made import EMBEDDED, made_arm, made_pairs
from tests.training.several_ranks import UNEVEN

SETTINGS = UNEVEN | {"steps": 3}


def arm(**changes):
    """Rollouts of the embedded supervisor, which disagree by themselves."""
    return made_arm(EMBEDDED, **SETTINGS | changes)


@pytest.fixture(scope="module")
def one_and_two(birds, tmp_path_factory):
    config = arm()
    pairs = made_pairs(birds, "stratified")
    folder = tmp_path_factory.mktemp("checkpoints")
    steps = []
    one = train(config, birds, pairs)
    two = train_in_processes(
        config, birds, pairs, 2, checkpoint_folder=folder, progress=steps.append
    )
    return one, two, steps


def test_two_processes_end_with_the_weights_of_one(one_and_two):
    (one, _), (two, _), _ = one_and_two
    ours, theirs = one.state_dict(), two.state_dict()
    assert ours.keys() == theirs.keys() and ours
    for name, value in ours.items():
        torch.testing.assert_close(theirs[name], value, atol=1e-5, rtol=1e-5, msg=name)


def test_the_figures_of_every_step_are_those_of_one(one_and_two):
    (_, one), (_, two), _ = one_and_two
    ours, theirs = (
        h.frame[[name for name in h.frame if not name.startswith(("seconds", "ranks/"))]]
        .astype("Float64")
        .fillna(-1)
        for h in (one, two)
    )
    assert list(ours) == list(theirs) and len(ours) == 3
    assert (ours["rollout/kept"] > 0).all() and (ours["loss/kl"] > 0).all()
    for name in ours:
        tolerance = {"rel": 1e-3, "abs": 2e-5}
        assert theirs[name].tolist() == pytest.approx(ours[name].tolist(), **tolerance), name


def test_the_history_says_how_long_the_ranks_waited_for_each_other(one_and_two):
    (_, one), (_, two), _ = one_and_two
    assert "rank_wait_share" not in one.summary
    assert 0 < two.summary["rank_wait_share"] <= two.summary["rank_wait_share_max"] < 1
    waited = two.frame[["ranks/wait_share_of_0", "ranks/wait_share_of_1"]]
    assert two.frame["ranks/wait_share"].tolist() == pytest.approx(waited.mean(axis=1).tolist())


def test_progress_is_told_once_a_step(one_and_two):
    *_, steps = one_and_two
    assert [(at.arm, at.step, at.steps) for at in steps] == [("saga", s, 3) for s in (1, 2, 3)]
    assert steps[0].metrics["loss/dml"] > 0


def test_a_run_begun_by_two_is_ended_by_one(birds, tmp_path):
    """How many processes there are is no part of what is trained."""
    pairs = made_pairs(birds)
    half = arm(steps=4, checkpoint_every=2, distributed=DistributedConfig(2))
    told = []

    def stop(at):
        told.append(at.step)
        if at.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_arm(half, birds, pairs, checkpoint_folder=tmp_path, progress=stop)
    rest = []
    alone = replace(half, training=replace(half.training, distributed=DistributedConfig()))
    resumed, _ = train_arm(
        alone, birds, pairs, checkpoint_folder=tmp_path, progress=lambda at: rest.append(at.step)
    )
    assert rest[0] in (3, 4) and rest[-1] == 4
    whole, _ = train(alone, birds, pairs)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(
            resumed.state_dict()[name], value, atol=1e-5, rtol=1e-5, msg=name
        )


def test_what_the_user_did_wrong_in_a_process_is_the_users_to_read(birds):
    config = arm(classes_per_batch=9)
    with pytest.raises(UserInputError, match="classes_per_batch is 9, but there are 5"):
        train_in_processes(config, birds, made_pairs(birds), 2)


def test_more_processes_than_images_are_refused():
    with pytest.raises(UserInputError, match="is 4 images, but 5 processes share every batch"):
        _check_ranks(Ranks(0, 5), 4)
