import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saga.data.sampler import ClassBalancedSampler
from saga.errors import UserInputError
from saga.mining.batching import PairGuidedSampler
from tests.mining.made import made_frame, made_pairs

STRATEGIES = ["random", "stratified"]


def made_sampler(strategy, sizes=(5, 9, 7, 4, 6), P=3, K=4, wanted=8, seed=0, pairs=40):
    frame = made_frame(list(sizes))
    mined = made_pairs(frame, strategy, pairs=pairs)
    labels, ids = frame["class_id"].tolist(), frame["image_id"].tolist()
    return PairGuidedSampler(labels, ids, mined, P, K, wanted, seed), labels, ids, mined


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(STRATEGIES),
    st.integers(2, 5),
    st.integers(2, 4),
    st.integers(0, 12),
    st.integers(0, 99),
)
def test_batches_are_class_balanced_and_pairs_lie_in_them_labelled_and_balanced(
    strategy, P, K, wanted, seed
):
    sampler, labels, _, _ = made_sampler(strategy, P=P, K=K, wanted=wanted, seed=seed)
    for _ in range(6):
        batch, pairs = sampler.next_batch()
        assert len(set(batch)) == P * K
        assert set(Counter(labels[i] for i in batch).values()) == {K}
        assert len({frozenset(p[:2]) for p in pairs}) == len(pairs)
        for i, j, same in pairs:
            assert i != j and same == (labels[batch[i]] == labels[batch[j]])
        # Of each kind as many as asked for, or all that the batch has.
        available = {True: P * K * (K - 1) // 2, False: K * K * P * (P - 1) // 2}
        for same, share in ((True, wanted - wanted // 2), (False, wanted // 2)):
            assert sum(p[2] == same for p in pairs) == min(share, available[same])


def test_random_batches_are_those_of_the_class_balanced_sampler_with_true_epochs():
    sampler, labels, _, _ = made_sampler("random", seed=4)
    plain = ClassBalancedSampler(labels, 3, 4, 4)
    for _ in range(3):
        epoch = [sampler.next_batch()[0] for _ in range(plain.batches_per_epoch)]
        assert epoch == [plain.next_batch() for _ in epoch]
        assert {i for batch in epoch for i in batch} == set(range(len(labels)))


def test_mined_pairs_come_first_and_all_come_round():
    sampler, _, ids, mined = made_sampler("stratified", wanted=12, pairs=40)
    known = {
        frozenset(pair): same
        for *pair, same in zip(
            mined.frame["anchor"], mined.frame["other"], mined.frame["same_class"]
        )
    }
    used = Counter()
    for _ in range(60):
        batch, pairs = sampler.next_batch()
        inside = [pair for pair in known if pair <= {ids[i] for i in batch}]
        compared = {frozenset((ids[batch[i]], ids[batch[j]])) for i, j, _ in pairs}
        for same in (True, False):
            mined_here = {pair for pair in inside if known[pair] == same}
            assert len(compared & mined_here) == min(6, len(mined_here))
        used.update(compared & known.keys())
    assert used.keys() == known.keys()


def test_mined_pairs_are_denser_than_chance():
    def share(strategy):
        sampler, _, ids, _ = made_sampler(strategy, sizes=[8] * 12, P=4, wanted=8, pairs=60)
        _, _, _, mined = made_sampler("stratified", sizes=[8] * 12, pairs=60)
        known = {frozenset(p) for p in zip(mined.frame["anchor"], mined.frame["other"])}
        found = total = 0
        for _ in range(40):
            batch, pairs = sampler.next_batch()
            found += sum(frozenset((ids[batch[i]], ids[batch[j]])) in known for i, j, _ in pairs)
            total += len(pairs)
        return found / total

    assert share("stratified") > 0.3 > 3 * share("random")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_position_as_json_gives_the_same_continuation(strategy):
    sampler, *_ = made_sampler(strategy, seed=7)
    for _ in range(11):
        sampler.next_batch()
    state = json.dumps(sampler.state_dict())
    expected = [sampler.next_batch() for _ in range(12)]
    again, *_ = made_sampler(strategy, seed=7)
    again.load_state_dict(json.loads(state))
    assert [again.next_batch() for _ in range(12)] == expected


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_seed_decides_the_batches(strategy):
    batches = [
        [made_sampler(strategy, seed=seed)[0].next_batch() for _ in range(2)] for seed in (0, 0, 1)
    ]
    assert batches[0] == batches[1] != batches[2]


def test_a_pair_may_stand_in_either_order():
    sampler, *_ = made_sampler("random", wanted=12)
    pairs = [pair for _ in range(20) for pair in sampler.next_batch()[1]]
    share = sum(i < j for i, j, _ in pairs) / len(pairs)
    assert 0.3 < share < 0.7


def test_a_batch_that_the_data_cannot_fill_is_the_users_error():
    with pytest.raises(UserInputError, match=r"classes_per_batch is 6.*5 training classes"):
        made_sampler("random", P=6)
    with pytest.raises(UserInputError, match=r"images_per_class is 5.*smallest .* has 4 images"):
        made_sampler("stratified", K=5)


def test_pairs_of_other_images_are_the_users_error():
    frame = made_frame([4, 4, 4])
    pairs = made_pairs(made_frame([6, 6, 6]), pairs=20)
    with pytest.raises(UserInputError, match="names .* images that are not training images"):
        PairGuidedSampler(frame["class_id"].tolist(), frame["image_id"].tolist(), pairs, 2, 2, 4, 0)
