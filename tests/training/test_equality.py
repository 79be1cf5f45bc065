"""One, two and four processes do the same step: its pairs, completions, gradients and figures."""

import numpy as np
import pytest

from saga.encoders.configuration import EncoderConfig, LoraConfig, PoolerConfig
from saga.losses.configuration import MetricLossConfig
from saga.mining.configuration import ChoiceConfig
from tests.training.made import EMBEDDED, made_arm, made_pairs
from tests.training.several_ranks import UNEVEN, by_ranks, steps_of

SETTINGS = UNEVEN | {"steps": 1}
ARMS = {
    "one pair, so most ranks have none": {"pairs_per_round": 1, "max_rounds": 1},
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
    "pairs that are chosen": {"choice": ChoiceConfig("predicted", 3)},
    "held to the untrained encoder": {"reference_beta": 0.5, "weights": (1.0, 1.0, 0.0)},
    "a metric loss alone": {"weights": (1.0, 0.0, 0.0)},
}


@pytest.fixture(scope="module")
def one(birds):
    return steps_of(arms(), birds, made_pairs(birds))


@pytest.fixture(scope="module", params=[2, 4])
def ranks(request, birds, tmp_path_factory):
    """What each of several ranks came to, by arm."""
    folder = tmp_path_factory.mktemp("ranks")
    return by_ranks(request.param, folder, steps_of, arms(), birds, made_pairs(birds))


def arms():
    """Rollouts of the embedded supervisor, which disagree by themselves."""
    return [made_arm(EMBEDDED, **SETTINGS | changes) for changes in ARMS.values()]


@pytest.fixture(params=range(len(ARMS)), ids=list(ARMS))
def place(request):
    return request.param


def test_pairs_and_completions_are_those_of_one_process(one, ranks, place):
    step, metrics = one[place]
    assert step["pairs"] and bool(step["completions"]) == ("rollout/pairs" in metrics)
    for found, _ in (rank[place] for rank in ranks):
        assert found["pairs"] == step["pairs"]
        assert found["completions"] == step["completions"]


def test_gradients_are_those_of_one_process(one, ranks, place):
    ours = one[place][0]["gradients"]
    assert any(g is not None and g.any() for g in ours.values())
    for theirs in (rank[place][0]["gradients"] for rank in ranks):
        assert theirs.keys() == ours.keys()
        for name, gradient in ours.items():
            assert (gradient is None) == (theirs[name] is None), name
            if gradient is not None:
                np.testing.assert_allclose(theirs[name], gradient, atol=1e-6, rtol=0, err_msg=name)


def test_figures_are_those_of_one_process(one, ranks, place):
    ours = {k: v for k, v in one[place][1].items() if not k.startswith("seconds")}
    for theirs in (rank[place][1] for rank in ranks):
        assert {k for k in theirs if not k.startswith(("seconds", "ranks/"))} == ours.keys()
        for name, value in ours.items():
            assert theirs[name] == pytest.approx(value, rel=1e-3, abs=2e-5), name


def test_all_ranks_have_the_same_gradients_bit_for_bit(ranks, place):
    first, *others = (rank[place][0]["gradients"] for rank in ranks)
    for other in others:
        for name, gradient in first.items():
            assert gradient is None or (gradient == other[name]).all(), name


def test_all_ranks_know_how_long_each_waited(ranks, place):
    told = [rank[place][1] for rank in ranks]
    shares = [told[0][f"ranks/wait_share_of_{rank}"] for rank in range(len(ranks))]
    assert all(0 <= share < 1 for share in shares)
    assert told[0]["ranks/wait_share"] == pytest.approx(np.mean(shares))
    assert told[0]["ranks/wait_share_max"] == pytest.approx(max(shares))
    of_ranks = [{k: v for k, v in t.items() if k.startswith("ranks/")} for t in told]
    assert all(figures == of_ranks[0] for figures in of_ranks)
