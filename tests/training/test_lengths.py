"""What completions are expected to be as long as."""

import pytest

from saga.training.lengths import ExpectedLengths

SAME, DIFFERENT = True, False


@pytest.fixture
def lengths():
    found = ExpectedLengths()
    found.learn([(0, 1, SAME), (2, 3, SAME)], [200.0, 200.0])
    return found


def test_while_nothing_was_seen_all_pairs_are_alike():
    lengths = ExpectedLengths()
    assert lengths.of(0, 1, SAME) == lengths.of(7, 3, DIFFERENT)


def test_a_pair_of_unseen_images_is_expected_to_be_like_its_kind(lengths):
    lengths.learn([(4, 5, DIFFERENT)], [300.0])
    assert lengths.of(8, 9, SAME) == 200 and lengths.of(8, 9, DIFFERENT) == 300


def test_images_about_which_much_is_said_are_expected_to_take_long_with_others_too(lengths):
    lengths.learn([(4, 5, SAME), (6, 7, SAME)], [300.0, 100.0])
    assert lengths.of(6, 9, SAME) < lengths.of(8, 9, SAME) < lengths.of(4, 9, SAME)
    assert lengths.of(4, 9, SAME) < lengths.of(4, 5, SAME)


def test_the_more_was_seen_of_an_image_the_more_it_weighs(lengths):
    found = []
    for _ in range(40):
        lengths.learn([(4, 5, SAME), (6, 7, SAME)], [300.0, 100.0])
        found.append(lengths.of(4, 5, SAME))
    assert found[-1] > found[2] and found[-1] == pytest.approx(300, rel=0.05)


def test_each_pair_needs_its_length(lengths):
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        lengths.learn([(0, 1, SAME), (2, 3, SAME)], [100.0])


def test_no_length_is_below_nothing(lengths):
    lengths.learn([(4, 4, SAME)] * 30, [0.0] * 30)
    lengths.learn([(8, 9, SAME)] * 300, [1.0] * 300)
    assert lengths.of(4, 4, SAME) >= 0
