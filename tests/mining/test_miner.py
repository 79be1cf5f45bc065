import numpy as np
import pytest

from saga.errors import UserInputError
from saga.mining.configuration import MiningConfig
from saga.mining.miner import mine_pairs, needs_embeddings
from tests.mining.made import made_frame, made_pairs, made_vectors

FRAME = made_frame([5, 9, 7, 4, 6])
LABELS = dict(zip(FRAME["image_id"], FRAME["class_id"]))
INDEX = {image_id: i for i, image_id in enumerate(FRAME["image_id"])}
STRATEGIES = ["random", "hard", "stratified"]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("seed", range(3))
def test_pairs_are_distinct_balanced_and_truly_labelled(strategy, seed):
    frame = made_pairs(FRAME, strategy, pairs=60, seed=seed).frame
    assert len(frame) == 60 and frame["same_class"].sum() == 30
    unordered = {frozenset(pair) for pair in zip(frame["anchor"], frame["other"])}
    assert len(unordered) == 60 and all(len(pair) == 2 for pair in unordered)
    truth = frame["anchor"].map(LABELS) == frame["other"].map(LABELS)
    assert (truth == frame["same_class"]).all()


@pytest.mark.parametrize(("strategy", "hard"), [("random", 0), ("stratified", 42), ("hard", 60)])
def test_the_share_of_hard_pairs_is_the_one_stated_in_both_kinds(strategy, hard):
    frame = made_pairs(FRAME, strategy, pairs=60, hard_share=0.7).frame
    kinds = frame[frame["kind"] == "hard"]
    assert len(kinds) == hard and kinds["same_class"].sum() == hard / 2
    assert set(frame["kind"]) <= {"hard", "random"}


def test_hard_pairs_are_the_nearest_of_another_class_and_the_farthest_of_the_same():
    similarity = made_vectors(FRAME).astype(float)
    similarity = similarity @ similarity.T
    labels = FRAME["class_id"].to_numpy()
    same = labels[:, None] == labels[None]
    nearest = np.where(same, -np.inf, similarity).argmax(1)
    farthest = np.where(same & ~np.eye(len(labels), dtype=bool), similarity, np.inf).argmin(1)
    frame = made_pairs(FRAME, "hard", pairs=20, neighbours=1).frame
    assert len(frame) == 20
    for row in frame.itertuples():
        i, j = INDEX[row.anchor], INDEX[row.other]
        chosen = farthest if row.same_class else nearest
        assert chosen[i] == j or chosen[j] == i


def test_first_ranks_are_used_up_before_second_ones():
    frame = made_pairs(FRAME, "hard", pairs=30, neighbours=10).frame
    closest = made_pairs(FRAME, "hard", pairs=30, neighbours=1).frame
    for kind in (True, False):
        many, few = (f[f["same_class"] == kind] for f in (frame, closest))
        ours = {frozenset(p) for p in zip(many["anchor"], many["other"])}
        first = {frozenset(p) for p in zip(few["anchor"], few["other"])}
        assert len(ours & first) >= min(len(ours), len(first)) * 0.9


def test_the_similarity_is_the_cosine_of_the_two_and_missing_without_embeddings():
    vectors = made_vectors(FRAME)
    for row in made_pairs(FRAME, pairs=30).frame.itertuples():
        expected = float(vectors[INDEX[row.anchor]] @ vectors[INDEX[row.other]])
        assert row.similarity == pytest.approx(expected, abs=1e-6)
    assert made_pairs(FRAME, "random", pairs=30).frame["similarity"].isna().all()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_same_seed_mines_the_same_pairs_and_another_others(strategy):
    digests = [made_pairs(FRAME, strategy, pairs=40, seed=seed).digest for seed in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("strategy", ["random", "stratified"])
def test_every_class_is_covered(strategy):
    frame = made_pairs(FRAME, strategy, pairs=60, hard_share=0.5).frame
    for same, part in frame.groupby("same_class"):
        assert set(part["anchor"].map(LABELS)) | set(part["other"].map(LABELS)) == set(
            LABELS.values()
        ), same


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_where_the_data_holds_fewer_pairs_of_a_kind_all_of_them_come(strategy):
    small = made_frame([2, 2])
    frame = made_pairs(small, strategy, pairs=100).frame
    assert frame["same_class"].sum() == 2 and (~frame["same_class"]).sum() <= 4
    if strategy == "random":
        assert len(frame) == 6


@pytest.mark.parametrize("sizes", [[4], [1, 4], []])
def test_too_few_classes_or_images_are_the_users_error(sizes):
    frame = made_frame([4, 4]).iloc[:0] if not sizes else made_frame(sizes)
    with pytest.raises(UserInputError, match="at least two training classes of two images"):
        mine_pairs(frame, MiningConfig(), "digest")


def test_embeddings_are_needed_by_the_strategies_that_search():
    assert [needs_embeddings(MiningConfig(strategy=s)) for s in STRATEGIES] == [False, True, True]  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="hard needs embeddings"):
        mine_pairs(FRAME, MiningConfig(strategy="hard"), "digest")
