import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saga.data.sampler import ClassBalancedSampler
from saga.errors import UserInputError

SIZES = st.lists(st.integers(1, 13), min_size=1, max_size=8)


@st.composite
def cases(draw, worlds: int = 3):
    """Labels in random order, P, K, seed and world size."""
    sizes = draw(SIZES)
    seed = draw(st.integers(0, 1000))
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)) * 3, sizes))
    P = draw(st.integers(1, len(sizes)))
    return labels.tolist(), P, draw(st.integers(1, 5)), seed, draw(st.integers(1, worlds))


def one_epoch(labels, P, K, seed, world) -> list[list[list[int]]]:
    """The batches of one epoch, by rank."""
    epoch = []
    for rank in range(world):
        sampler = ClassBalancedSampler(labels, P, K, seed, rank, world)
        epoch.append([sampler.next_batch() for _ in range(sampler.batches_per_epoch)])
        assert sampler.epoch == 1
    return epoch


@settings(deadline=None)
@given(cases())
def test_every_image_appears_each_epoch_and_the_repeats_are_counted(case):
    labels, P, K, seed, world = case
    shown = [i for batches in one_epoch(*case) for batch in batches for i in batch]
    assert set(shown) == set(range(len(labels)))
    sampler = ClassBalancedSampler(labels, P, K, seed, 0, world)
    assert sampler.repeats == len(shown) - len(labels)


@settings(deadline=None)
@given(cases())
def test_a_batch_has_p_distinct_classes_of_k_images_without_avoidable_repeats(case):
    labels, P, K, _, _ = case
    sizes = Counter(labels)
    for batch in (b for batches in one_epoch(*case) for b in batches):
        by_class: dict[int, list[int]] = {}
        for i in batch:
            by_class.setdefault(labels[i], []).append(i)
        assert len(by_class) == P
        for label, images in by_class.items():
            assert len(images) == K and len(set(images)) == min(K, sizes[label])


@settings(deadline=None)
@given(cases())
def test_an_epoch_has_as_few_batches_as_hold_every_class(case):
    labels, P, K, seed, world = case
    blocks = [-(-n // K) for n in Counter(labels).values()]
    # A class is once in a batch; all blocks need a place; ranks take equally many batches.
    fewest = max(max(blocks), -(-sum(blocks) // P))
    sampler = ClassBalancedSampler(labels, P, K, seed, 0, world)
    assert sampler.batches_per_epoch == -(-fewest // world)


@settings(deadline=None)
@given(cases())
def test_ranks_take_turns_in_one_order(case):
    labels, P, K, seed, world = case
    epoch = one_epoch(*case)
    order = ClassBalancedSampler(labels, P, K, seed, 0, world).epoch_order(0)
    assert len({len(batches) for batches in epoch}) == 1
    assert [batch for turn in zip(*epoch) for batch in turn] == order


@settings(deadline=None, max_examples=50)
@given(cases(), st.integers(0, 40))
def test_a_position_as_json_gives_the_same_continuation(case, steps):
    labels, P, K, seed, world = case
    sampler = ClassBalancedSampler(labels, P, K, seed, world - 1, world)
    for _ in range(steps):
        sampler.next_batch()
    state = json.dumps(sampler.state_dict())
    expected = [sampler.next_batch() for _ in range(10)]
    again = ClassBalancedSampler(labels, P, K, seed, world - 1, world)
    again.load_state_dict(json.loads(state))
    assert [again.next_batch() for _ in range(10)] == expected
    assert again.epoch == sampler.epoch


def test_a_position_of_another_sampler_is_refused():
    labels = [0, 0, 1, 1, 2, 2]
    state = ClassBalancedSampler(labels, 2, 2, 0).state_dict()
    for other in (
        ClassBalancedSampler(labels[::-1], 2, 2, 0),
        ClassBalancedSampler(labels, 3, 2, 0),
        ClassBalancedSampler(labels, 2, 1, 0),
        ClassBalancedSampler(labels, 2, 2, 1),
        ClassBalancedSampler(labels, 2, 2, 0, 1, 2),
    ):
        with pytest.raises(ValueError, match="a sampler with other"):
            other.load_state_dict(state)


def test_epochs_and_seeds_differ_and_the_same_seed_does_not():
    labels = np.repeat(np.arange(10), 8).tolist()
    sampler = ClassBalancedSampler(labels, 5, 4, 0)
    epochs = [sampler.epoch_order(e) for e in range(4)]
    assert len({json.dumps(e) for e in epochs}) == 4
    assert ClassBalancedSampler(labels, 5, 4, 1).epoch_order(0) != epochs[0]
    assert ClassBalancedSampler(labels, 5, 4, 0).epoch_order(2) == epochs[2]


def test_full_blocks_and_batches_leave_nothing_to_repeat():
    sampler = ClassBalancedSampler(np.repeat(np.arange(12), 8).tolist(), 4, 4, 0)
    assert sampler.repeats == 0 and sampler.batches_per_epoch == 6
    shown = Counter(i for batch in sampler.epoch_order(0) for i in batch)
    assert set(shown.values()) == {1}


def test_the_papers_epoch_of_cub_repeats_little():
    # 100 classes: 5,864 images in all, between 41 and 60 a class, as in CUB-200-2011.
    sizes = np.full(100, 59)
    sizes[0], sizes[1:19] = 41, 58
    sizes[19] += 5864 - sizes.sum()
    assert sizes.sum() == 5864 and sizes.max() <= 60
    sampler = ClassBalancedSampler(np.repeat(np.arange(100), sizes).tolist(), 16, 4, 0)
    assert sampler.repeats / 5864 < 0.03


def test_which_classes_meet_in_a_batch_is_mixed():
    labels = np.repeat(np.arange(20), 40).tolist()
    order = ClassBalancedSampler(labels, 4, 4, 3).epoch_order(0)
    met = {frozenset(pair) for b in order for pair in pairs_of({labels[i] for i in b})}
    # 50 batches × 6 pairs of classes; of 190 possible pairs nearly 80 % should have met.
    assert len(met) > 130


def pairs_of(classes):
    ordered = sorted(classes)
    return [(a, b) for k, a in enumerate(ordered) for b in ordered[k + 1 :]]


def test_large_classes_are_spread_evenly_over_an_epoch():
    labels = np.repeat(np.arange(17), [40] + [4] * 16).tolist()
    positions = []
    for seed in range(200):
        order = ClassBalancedSampler(labels, 2, 4, seed).epoch_order(0)
        large = [k for k, batch in enumerate(order) if 0 in {labels[i] for i in batch}]
        positions += [k / (len(order) - 1) for k in large]
    # The mean's standard error is 0.007.
    assert abs(np.mean(positions) - 0.5) < 0.03


def test_more_classes_a_batch_than_there_are_is_the_users_error():
    with pytest.raises(
        UserInputError, match=r"training\.classes_per_batch is 3.*2 training classes"
    ):
        ClassBalancedSampler([0, 0, 1, 1], 3, 2, 0)


@pytest.mark.parametrize("settings_", [(0, 1, 0, 0, 1), (1, 0, 0, 0, 1), (1, 1, 0, 1, 1)])
def test_sizes_and_ranks_that_mean_nothing_are_programming_errors(settings_):
    with pytest.raises(ValueError, match="0 <= rank < world_size"):
        ClassBalancedSampler([0, 1], *settings_)
