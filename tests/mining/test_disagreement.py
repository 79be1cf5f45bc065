"""Pairs whose rollouts are likely to disagree are found from past outcomes."""

import json

import numpy as np
import pytest

from saga.mining.configuration import ChoiceConfig
from saga.mining.disagreement import ENOUGH, REMEMBERED, PairChooser

LABELS = [c for c in range(10) for _ in range(6)]
PREDICTED = ChoiceConfig("predicted", candidates=4, explore=0.25)


def drawn(rng, count=64):
    """Candidates, half of each kind, and their similarities."""
    pairs = []
    for k in range(count):
        a, b = rng.integers(0, 6, 2)
        c = int(rng.integers(0, 10))
        other = c if k % 2 else (c + 1 + int(rng.integers(0, 9))) % 10
        pairs.append((6 * c + int(a), 6 * other + int(b), bool(k % 2)))
    return pairs, rng.uniform(-0.2, 1, count)


def contributes(pair, similarity, rng):
    """Alike images of different classes are hard, and so is whatever class 3 is part of."""
    odds = (0.8 if similarity > 0.5 else 0.1) if not pair[2] else 0.3
    if LABELS[pair[0]] == 3 or LABELS[pair[1]] == 3:
        odds = 0.9
    return bool(rng.random() < odds)


def experienced(config=PREDICTED, steps=30, seed=0):
    """A chooser that has seen some steps, and the shares of each kind that contributed in the last."""
    chooser, rng = PairChooser(config, LABELS), np.random.default_rng(seed)
    shares = []
    for step in range(steps):
        pairs, similarity = drawn(rng)
        choice = chooser.choose(pairs, similarity, 16, [seed, step])
        chosen = [pairs[i] for i in choice.places]
        outcomes = [contributes(p, similarity[i], rng) for p, i in zip(chosen, choice.places)]
        chooser.learn(chosen, choice.features, outcomes)
        shares.append((np.array(outcomes), np.array(choice.explored)))
    late = shares[steps // 2 :]
    outcomes, explored = (np.concatenate([s[k] for s in late]) for k in (0, 1))
    return chooser, outcomes[explored].mean(), outcomes[~explored].mean()


def test_what_it_takes_contributes_more_often_than_what_is_drawn_evenly():
    gains = []
    for seed in range(5):
        _, explored, predicted = experienced(seed=seed)
        gains.append(predicted - explored)
    assert np.mean(gains) > 0.15 and min(gains) > 0


def test_both_kinds_stay_balanced_and_the_even_share_is_kept():
    chooser, *_ = experienced()
    pairs, similarity = drawn(np.random.default_rng(5))
    choice = chooser.choose(pairs, similarity, 16, [1])
    assert len(set(choice.places)) == 16 == len(choice.explored)
    assert sum(pairs[i][2] for i in choice.places) == 8
    assert sum(choice.explored) == 4
    assert choice.features.shape == (16, 6)


def test_its_lean_is_told():
    chooser, *_ = experienced()
    pairs, similarity = drawn(np.random.default_rng(5))
    choice = chooser.choose(pairs, similarity, 16, [1])
    shift = similarity[choice.places].mean() - similarity.mean()
    assert choice.figures["choice/similarity_shift"] == pytest.approx(shift) and shift > 0
    assert choice.figures["choice/expected_lift"] > 0


def test_without_experience_every_pair_is_as_likely_as_any():
    counts = np.zeros(64)
    for seed in range(600):
        chooser = PairChooser(PREDICTED, LABELS)
        pairs, similarity = drawn(np.random.default_rng(3))
        choice = chooser.choose(pairs, similarity, 16, [seed])
        counts[choice.places] += 1
        assert choice.figures["choice/expected_lift"] == 0
    # 600 · 16/64 = 150 times each; 3.9 deviations of 10.6 hold for all 64 together.
    assert np.abs(counts - 150).max() < 42


def test_nothing_is_predicted_from_outcomes_that_are_all_alike_or_few():
    pairs, similarity = drawn(np.random.default_rng(3))
    for count, outcome in ((ENOUGH * 2, [True]), (ENOUGH - 2, [True, False])):
        chooser = PairChooser(PREDICTED, LABELS)
        features = chooser.choose(pairs, similarity, 64, [0]).features[:1].repeat(count, 0)
        chooser.learn([pairs[0]] * count, features, (outcome * count)[:count])
        assert len(set(chooser._likely(features))) == 1


def test_unbiased_takes_everything():
    chooser = PairChooser(ChoiceConfig(), LABELS)
    pairs, similarity = drawn(np.random.default_rng(3))
    choice = chooser.choose(pairs, similarity, 16, [0])
    assert chooser.candidates(16) == 16 and not chooser.predicts
    assert choice.places == list(range(64)) and all(choice.explored) and choice.figures == {}


def test_the_same_seed_chooses_the_same_and_another_does_not():
    chooser, *_ = experienced()
    pairs, similarity = drawn(np.random.default_rng(5))
    chosen = [chooser.choose(pairs, similarity, 16, [seed]).places for seed in (1, 1, 2)]
    assert chosen[0] == chosen[1] != chosen[2]


def test_it_goes_on_from_its_state_as_if_nothing_had_happened():
    chooser, *_ = experienced()
    other = PairChooser(PREDICTED, LABELS)
    other.load_state_dict(json.loads(json.dumps(chooser.state_dict())))
    pairs, similarity = drawn(np.random.default_rng(5))
    ours, theirs = (c.choose(pairs, similarity, 16, [1]) for c in (chooser, other))
    assert ours.places == theirs.places and np.array_equal(ours.features, theirs.features)


def test_old_outcomes_are_forgotten():
    chooser = PairChooser(PREDICTED, LABELS)
    pairs, similarity = drawn(np.random.default_rng(3))
    features = chooser.choose(pairs, similarity, 64, [0]).features
    for _ in range(REMEMBERED // 64 + 5):
        chooser.learn(pairs, features, [True] * 64)
    assert len(chooser.state_dict()["outcomes"]) == REMEMBERED


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"candidates": 0}, "candidates must be at least 1"),
        ({"explore": 0}, "explore must be above 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        ChoiceConfig("predicted", **setting)
