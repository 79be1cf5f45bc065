"""Two processes train what one does, and say what went wrong."""

from dataclasses import replace

import pytest
import torch

from saga.encoders.configuration import EncoderConfig, LoraConfig, PoolerConfig
from saga.errors import UserInputError
from saga.losses.configuration import MetricLossConfig
from saga.mining.configuration import ChoiceConfig
from saga.training.configuration import DistributedConfig
from saga.training.processes import train_arm, train_in_processes
from saga.training.ranks import Ranks
from saga.training.trainer import _check_ranks, train
from tests.training.made import EMBEDDED, made_arm, made_pairs
from tests.training.two_ranks import by_two_ranks, step_gradients

SETTINGS = {
    "steps": 3,
    "classes_per_batch": 5,
    "images_per_class": 3,  # 15 images, 7 pairs: no even share
    "pairs_per_round": 7,
    "contributing_pairs": 5,
    "alignment_pairs": 3,
    "refill": "ahead",
    "flip": True,
    "jitter": 0.1,
    "term_norms_every": 2,
    "optimizer": {"warmup_fraction": 0.0},
}


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
    timed = [name for name in one.frame if name.startswith("seconds")]
    ours, theirs = (
        h.frame.drop(columns=timed, errors="ignore").astype("Float64").fillna(-1)
        for h in (one, two)
    )
    assert list(ours) == list(theirs) and len(ours) == 3
    assert (ours["rollout/kept"] > 0).all() and (ours["loss/kl"] > 0).all()
    for name in ours:
        tolerance = {"rel": 1e-3, "abs": 2e-5}
        assert theirs[name].tolist() == pytest.approx(ours[name].tolist(), **tolerance), name


def test_progress_is_told_once_a_step(one_and_two):
    *_, steps = one_and_two
    assert [(at.arm, at.step, at.steps) for at in steps] == [("saga", s, 3) for s in (1, 2, 3)]
    assert steps[0].metrics["loss/dml"] > 0


ARMS = {
    "one pair, so one rank has none": {"pairs_per_round": 1, "max_rounds": 1},
    "adapters and several rounds": {
        "encoder": EncoderConfig(
            PoolerConfig(normalize_keys=True), "lora", LoraConfig(rank=2, alpha=4)
        ),
        "contributing_pairs": 30,
        "max_rounds": 3,
        "refill": "after",
    },
    "proxies, attention alone": {
        "metric_loss": MetricLossConfig("proxy_anchor"),
        "weights": (1.0, 0.0, 1.0),
        "crop_scale": 0.6,
    },
    "mined negatives, verdicts alone": {
        "metric_loss": MetricLossConfig("multi_similarity"),
        "weights": (1.0, 1.0, 0.0),
        "replay_pairs": 2,
    },
    "pairs that are chosen": {"choice": ChoiceConfig("predicted", 3), "refill": "ahead"},
    "a metric loss alone": {"weights": (1.0, 0.0, 0.0)},
}


@pytest.fixture(scope="module")
def gradients(birds, tmp_path_factory):
    """Of one step of each arm, by one process and by both ranks."""
    arms = [arm(**changes | {"steps": 1}) for changes in ARMS.values()]
    pairs = made_pairs(birds)
    ranks = by_two_ranks(arms, birds, pairs, tmp_path_factory.mktemp("store"))
    one = step_gradients(arms, birds, pairs)
    return dict(zip(ARMS, zip(one, *ranks)))


@pytest.mark.parametrize("name", ARMS)
def test_gradients_and_figures_of_a_step_are_those_of_one_process(gradients, name):
    (one, figures), *ranks = gradients[name]
    assert any(g is not None and g.any() for g in one.values())
    for found, told in ranks:
        assert found.keys() == one.keys()
        for parameter, gradient in one.items():
            assert (gradient is None) == (found[parameter] is None), parameter
            if gradient is not None:
                ours = torch.from_numpy(found[parameter])
                torch.testing.assert_close(ours, gradient, atol=1e-5, rtol=1e-4, msg=parameter)
        untimed = {k: v for k, v in figures.items() if not k.startswith("seconds")}
        assert told.keys() >= untimed.keys()
        for figure, value in untimed.items():
            assert told[figure] == pytest.approx(value, rel=1e-3, abs=2e-5), figure


def test_both_ranks_have_the_same_gradients_bit_for_bit(gradients):
    for _, (ours, _), (theirs, _) in gradients.values():
        for name, gradient in ours.items():
            assert gradient is None or (gradient == theirs[name]).all(), name


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
