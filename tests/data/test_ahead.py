import json

import pytest

from saga.data.ahead import REMEMBERED, LookAhead
from saga.mining.batching import PairGuidedSampler
from tests.mining.made import made_frame, made_pairs

STRATEGIES = ["random", "stratified"]


class Wishes:
    """Stands for the image store, and notes what it is asked."""

    def __init__(self):
        self.prefetched, self.forgotten = [], 0

    def prefetch(self, indices):
        self.prefetched.append(indices)

    def forget(self):
        self.forgotten += 1


def made_sampler(strategy, seed=3):
    frame = made_frame([5, 9, 7, 4, 6])
    pairs = made_pairs(frame, strategy, pairs=40)
    labels, ids = frame["class_id"].tolist(), frame["image_id"].tolist()
    return PairGuidedSampler(labels, ids, pairs, 3, 4, 8, seed)


def ahead(strategy, batches, store=None, **settings):
    return LookAhead(made_sampler(strategy), store or Wishes(), batches, **settings)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("batches", [0, 1, 5])
def test_batches_and_positions_are_those_of_the_bare_sampler(strategy, batches):
    bare, looking = made_sampler(strategy), ahead(strategy, batches)
    for _ in range(25):
        assert looking.state_dict() == bare.state_dict()
        assert looking.next_batch() == bare.next_batch()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("batches", [0, 3])
def test_batches_taken_back_are_given_out_again_and_do_not_count(strategy, batches):
    bare, looking = made_sampler(strategy), ahead(strategy, batches)
    positions, expected = [], []
    for _ in range(30):
        positions.append(bare.state_dict())
        expected.append(bare.next_batch())
    at = 0
    for give, back in ((5, 2), (4, 4), (1, 0), (7, 6), (3, 1)):
        for _ in range(give):
            assert looking.next_batch() == expected[at]
            at += 1
        looking.rewind(back)
        at -= back
        assert looking.state_dict() == positions[at]
    assert [looking.next_batch() for _ in range(8)] == expected[at : at + 8]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_run_continues_from_a_position_as_json_whoever_draws_ahead(strategy):
    looking = ahead(strategy, 4)
    for _ in range(11):
        looking.next_batch()
    looking.rewind(1)
    state = json.dumps(looking.state_dict())
    expected = [looking.next_batch() for _ in range(12)]
    bare, again = made_sampler(strategy), ahead(strategy, 2)
    for _ in range(3):
        again.next_batch()
    for other in (bare, again):
        other.load_state_dict(json.loads(state))
        assert [other.next_batch() for _ in range(12)] == expected


def test_the_images_of_what_comes_are_prefetched_soonest_first():
    store, bare = Wishes(), made_sampler("random")
    looking = ahead("random", 2, store)
    assert store.prefetched == []
    expected = [bare.next_batch()[0] for _ in range(4)]
    looking.next_batch()
    assert store.prefetched == [sum(expected[:3], [])]
    looking.next_batch()
    assert store.prefetched[-1] == sum(expected[1:4], [])
    looking.rewind(2)
    assert store.prefetched[-1] == sum(expected, [])


def test_a_rank_prefetches_its_own_images_alone():
    store, bare = Wishes(), made_sampler("stratified")
    looking = ahead("stratified", 1, store, own=lambda rows: rows[4:9])
    batch, _ = looking.next_batch()
    expected = [bare.next_batch()[0] for _ in range(2)]
    assert batch == expected[0]
    assert store.prefetched == [expected[0][4:9] + expected[1][4:9]]


def test_nothing_is_prefetched_if_nothing_is_drawn_ahead():
    store = Wishes()
    looking = ahead("stratified", 0, store)
    for _ in range(3):
        looking.next_batch()
    looking.rewind(2)
    looking.next_batch()
    assert store.prefetched == []


def test_another_position_drops_what_was_drawn_and_what_may_be_taken_back():
    store = Wishes()
    looking = ahead("random", 2, store)
    looking.next_batch()
    looking.load_state_dict(looking.state_dict())
    assert store.forgotten == 1
    with pytest.raises(ValueError, match="0 batches can be taken back, got 1"):
        looking.rewind(1)


def test_no_more_is_taken_back_than_is_remembered():
    looking = ahead("random", 1)
    for _ in range(REMEMBERED + 5):
        looking.next_batch()
    for count in (REMEMBERED + 1, -1):
        with pytest.raises(ValueError, match=f"{REMEMBERED} batches can be taken back"):
            looking.rewind(count)
    looking.rewind(REMEMBERED)
