import joblib
import numpy as np
import pytest

from saga.data.synthetic.attributes import split_of
from saga.supervisors.pretraining.pool import GROUP, GROUPS_PER_JOB, draw_pairs, render_pool


@pytest.fixture(scope="module")
def pool():
    return render_pool(60, 32, 0.7, [0, 3, 0, 0], workers=1)


def test_a_group_is_two_of_one_class_a_near_one_and_a_far_one(pool):
    assert pool.groups == 60 and pool.images.shape == (240, 32, 32, 3)
    assert pool.images.dtype == np.uint8
    far_changes = set()
    for start in range(0, 240, GROUP):
        first, second, near, far = (np.array(c) for c in pool.combinations[start : start + GROUP])
        assert (first == second).all()
        assert (first != near).sum() == 1
        far_changes.add(int((first != far).sum()))
        assert not np.array_equal(pool.images[start], pool.images[start + 1]), "drawn twice"
    assert far_changes == {1, 2, 3}


def test_no_bird_of_a_test_or_validation_class_is_ever_shown(pool):
    assert {split_of(combination) for combination in pool.combinations} == {"train"}


def test_workers_and_their_order_do_not_change_the_pool(pool):
    assert pool.groups > GROUPS_PER_JOB, "otherwise there is a single job"
    with joblib.parallel_config(backend="threading"):
        again = render_pool(60, 32, 0.7, [0, 3, 0, 0], workers=2)
    np.testing.assert_array_equal(again.images, pool.images)
    assert again.combinations == pool.combinations


def test_another_seed_is_another_pool(pool):
    other = render_pool(1, 32, 0.7, [1, 3, 0, 0], workers=1)
    assert other.combinations != pool.combinations[:GROUP]


def test_pairs_stay_in_their_group_one_in_three_is_of_one_class_in_either_order(pool):
    a, b = draw_pairs(pool.groups, np.random.default_rng(0))
    assert len(a) == len(b) == 3 * pool.groups
    assert (a // GROUP == b // GROUP).all() and (a != b).all()
    assert (a.reshape(-1, 3) // GROUP == np.arange(pool.groups)[:, None]).all()
    for pair, (i, j) in enumerate(zip(a, b)):
        alike = pool.combinations[i] == pool.combinations[j]
        chance = {i % GROUP, j % GROUP} == {2, 3}  # third and fourth are drawn independently
        assert alike is (pair % 3 == 0) or chance
    assert 0.3 < (a < b).mean() < 0.7
