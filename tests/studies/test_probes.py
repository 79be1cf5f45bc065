"""Probes of towers on unseen birds."""

import numpy as np
import pytest
import torch

from saga.data.synthetic.configuration import SyntheticConfig
from saga.data.synthetic.dataset import class_jobs, draw_class
from saga.studies.probes import (
    agreement,
    attribute_places,
    descriptions,
    haze_share,
    token_change,
    tokens_of,
    unseen_birds,
)
from saga.supervisors.checkpoint import load_checkpoint
from saga.supervisors.configuration import RolloutConfig, SupervisorConfig
from saga.supervisors.prompts import load_prompt
from saga.supervisors.supervisor import Supervisor

HAZY = SyntheticConfig(
    train_classes=2, validation_classes=2, test_classes=10, images_per_class=4, haze=0.7, seed=3
)
ROLLOUT = RolloutConfig(group_size=2, temperature=0.7, top_p=1.0, max_new_tokens=40)


@pytest.fixture(scope="module")
def birds():
    return unseen_birds(HAZY, 4)


@pytest.fixture(scope="module")
def loaded():
    return load_checkpoint(SupervisorConfig("embedded", image_size=96, device="cpu"))


@pytest.fixture(scope="module")
def supervisor(loaded):
    config = SupervisorConfig("embedded", "synthetic_birds", 96, attention_layer=2, device="cpu")
    return Supervisor(loaded, load_prompt("synthetic_birds"), config)


@pytest.fixture(scope="module")
def tokens(birds, loaded):
    return [tokens_of(loaded.tower, loaded.preprocessor, x) for x in (birds.images, birds.clear)]


def test_the_birds_are_the_studys_test_images(birds):
    jobs = [job for job in class_jobs(HAZY) if job["split"] == "test"]
    drawn = [image for job in jobs for image in draw_class(job)]
    assert len(birds.images) == 40 and all(map(np.array_equal, birds.images, drawn))


def test_twins_differ_in_haze_alone(birds):
    """Haze mixes every pixel with one grey: what is left is the twin, scaled and shifted."""
    for hazy, clear in zip(birds.images, birds.clear):
        inside = (clear > 5) & (clear < 250)
        for channel in range(3):
            x, y = (image[..., channel][inside[..., channel]] for image in (clear, hazy))
            slope, offset = np.polyfit(x.astype(float), y.astype(float), 1)
            assert 0.28 < slope < 1.02
            assert np.abs(slope * x + offset - y).max() < 2
    assert any(not np.array_equal(a, b) for a, b in zip(birds.images, birds.clear))


def test_without_haze_the_twins_are_the_images():
    from dataclasses import replace

    birds = unseen_birds(replace(HAZY, haze=0.0), 4)
    assert all(map(np.array_equal, birds.images, birds.clear))


def test_pairs_are_balanced_and_the_different_ones_are_as_near_as_can_be(birds):
    same = [pair for pair in birds.pairs if pair[2]]
    assert len(same) * 2 == len(birds.pairs) == 40

    def apart(a, b):
        return sum(birds.values[a][n] != birds.values[b][n] for n in birds.values[a])

    assert all(apart(a, b) == 0 and a != b for a, b, _ in same)
    for a, b, is_same in birds.pairs:
        if not is_same:
            others = [apart(a, other) for other in range(len(birds.values)) if apart(a, other)]
            assert apart(a, b) == min(others)


def test_an_odd_number_of_images_is_refused():
    with pytest.raises(ValueError, match="even"):
        unseen_birds(HAZY, 3)


def test_clear_birds_are_described_more_truly_than_hazy_ones(birds, supervisor, tokens):
    """The supervisor never saw haze."""
    found = [descriptions(supervisor, t, birds, ROLLOUT, 1)[1] for t in tokens]
    assert found[1]["accuracy"] > found[0]["accuracy"] > 0.4
    for figures in found:
        mean = (figures["reward_same"] + figures["reward_different"]) / 2
        assert figures["reward"] == pytest.approx(mean)


def test_an_image_agrees_with_itself_more_than_with_its_twin(supervisor, tokens):
    hazy, clear = tokens
    alone = agreement(supervisor, clear, clear, ROLLOUT, 1)
    across = agreement(supervisor, hazy, clear, ROLLOUT, 1)
    assert alone.keys() == set(supervisor.prompt.attributes)
    assert sum(alone.values()) > sum(across.values())


def test_places_are_maps_of_every_image_that_was_described_rightly(birds, supervisor, tokens):
    verdicts, _ = descriptions(supervisor, tokens[1], birds, ROLLOUT, 1)
    places = attribute_places(supervisor, tokens[1], birds, verdicts)
    sums = places.sum(-1)
    assert places.shape == (40, 6, 36) and (places >= 0).all()
    assert ((sums - 1).abs().lt(1e-4) | (sums == 0)).all() and (sums > 0.5).any()
    right = verdicts.rewards_PG.max(1).values > 0
    seen = {i for (a, b, _), yes in zip(birds.pairs, right) if yes for i in (a, b)}
    assert {int(i) for i in (sums[:, 0] > 0).nonzero()} == seen


def test_token_change_is_told_where_it_happened():
    before = torch.randn(8, 4, 3, generator=torch.Generator().manual_seed(0))
    after = before.clone()
    after[:, 2] += 1.0
    places = torch.zeros(8, 2, 4)
    places[:, 0, 2] = 1.0
    places[:, 1, 0] = 1.0
    change = token_change(before, after, places)
    spread = (before - before.mean(0)).square().sum(-1).mean()
    assert change["by_attribute"] == pytest.approx([float(3 / spread), 0.0])
    assert change["all"] == pytest.approx(float(3 / spread) / 4)
    assert token_change(before, before, places) == {"all": 0.0, "by_attribute": [0.0, 0.0]}


def test_haze_that_is_as_much_as_another_image_is_one():
    rng = torch.Generator().manual_seed(0)
    clear, other = (torch.randn(4000, 2, 3, generator=rng) for _ in range(2))
    assert haze_share(other, clear) == pytest.approx(1.0, abs=0.05)
    assert haze_share(clear, clear) == 0
