from itertools import pairwise

import pytest

from saga.data.configuration import DatasetConfig
from saga.data.load import load_manifest
from saga.data.rows import ImageRow
from saga.data.splits import (
    CANONICAL_CLASSES,
    CUB200_CLASS_LISTS,
    class_lists_digest,
    halves,
    hold_out,
)
from saga.errors import UserInputError
from tests.data.made import REAL, made_cub, made_folders


def made_rows(train: int = 6, test: int = 4, own: int = 0) -> list[ImageRow]:
    sides = ["train"] * train + ["test"] * test + ["validation"] * own
    return [
        ImageRow(f"{c}-{i}", f"{c}/{i}.png", c, f"class {c}", side)
        for c, side in enumerate(sides, start=1)
        for i in range(3)
    ]


def held_out(rows: list[ImageRow]) -> set[int]:
    return {row.class_id for row in rows if row.split == "validation"}


@pytest.mark.parametrize("layout", CANONICAL_CLASSES)
def test_the_whole_class_list_is_split_as_the_paper_does(layout):
    train, test = CANONICAL_CLASSES[layout]
    ids = list(range(1, train + test + 1))
    splits = halves(ids, layout)
    assert [c for c in ids if splits[c] == "train"] == ids[:train]
    assert [c for c in ids if splits[c] == "test"] == ids[-test:]
    with pytest.raises(UserInputError, match=f"has {train + test} classes"):
        halves([*ids, 0], layout)


def test_the_papers_counts_are_those_of_the_method():
    assert CANONICAL_CLASSES == {
        "cub200": (100, 100),
        "cars196": (98, 98),
        "aircraft": (50, 50),
        "inat_aves": (743, 743),
    }


def test_holding_out_moves_whole_training_classes_and_nothing_else():
    rows = made_rows()
    moved = hold_out(rows, 2, seed=5)
    chosen = held_out(moved)
    assert len(chosen) == 2 and chosen <= set(range(1, 7))
    for before, after in zip(rows, moved, strict=True):
        assert before.image_id == after.image_id and before.class_id == after.class_id
        assert after.split == ("validation" if after.class_id in chosen else before.split)


def test_the_hold_out_follows_the_seed_and_not_the_order_of_rows():
    rows = made_rows(train=40)
    assert held_out(hold_out(rows, 8, 3)) == held_out(hold_out(rows[::-1], 8, 3))
    draws = [held_out(hold_out(rows, 8, seed)) for seed in range(6)]
    assert all(one != other for one, other in pairwise(draws))


def test_at_least_two_training_classes_stay():
    assert len(held_out(hold_out(made_rows(train=6), 4, 0))) == 4
    with pytest.raises(UserInputError, match="validation_classes is 5.*6 training.*0 to 4"):
        hold_out(made_rows(train=6), 5, 0)


def test_a_dataset_with_validation_classes_of_its_own_is_not_held_out_from():
    with pytest.raises(UserInputError, match="2 validation classes of its own"):
        hold_out(made_rows(own=2), 1, 0)
    assert hold_out(made_rows(own=2), 0, 0) == made_rows(own=2)


def test_the_digest_of_class_lists_binds_names_sides_and_order():
    digest = class_lists_digest(["a", "b"], ["c", "d"])
    others = [(["a", "b"], ["c", "e"]), (["b", "a"], ["c", "d"]), (["a", "b", "c"], ["d"])]
    assert all(class_lists_digest(*lists) != digest for lists in others)


def test_a_hold_out_does_not_change_the_digest_of_class_lists(tmp_path):
    made_cub(tmp_path, classes=12)
    plain, held = (
        load_manifest(DatasetConfig(layout="cub200", root=str(tmp_path), validation_classes=n))
        for n in (0, 3)
    )
    assert held.counts()["validation"]["classes"] == 3
    assert held.class_list_digest == plain.class_list_digest
    assert held.digest != plain.digest


def test_another_class_list_than_the_expected_one_is_refused_with_both_digests(tmp_path):
    made_folders(tmp_path, ["auk", "emu", "jay", "owl"])
    settings = {"layout": "folders", "root": str(tmp_path)}
    found = load_manifest(DatasetConfig(**settings)).class_list_digest
    assert found == class_lists_digest(["auk", "emu"], ["jay", "owl"])
    load_manifest(DatasetConfig(**settings, class_list_digest=found))
    (tmp_path / "owl").rename(tmp_path / "oxx")
    with pytest.raises(UserInputError, match=f"class_list_digest is {found}, .* is (?!{found})"):
        load_manifest(DatasetConfig(**settings, class_list_digest=found))


@pytest.mark.skipif(not REAL.is_dir(), reason="the CUB-200-2011 photos are not beside the project")
def test_the_canonical_class_lists_of_cub_are_those_of_its_own_classes_file():
    names = [line.split()[1] for line in (REAL / "classes.txt").read_text().splitlines()]
    assert len(names) == 200
    assert class_lists_digest(names[:100], names[100:]) == CUB200_CLASS_LISTS


@pytest.mark.parametrize("name", ["paper/cub200", "paper/cub200-internvl", "cub200-photos"])
def test_the_configurations_for_cub_pin_its_class_lists(name):
    from pipelines.configuration import CONFIGS, load_run_config

    run = load_run_config(CONFIGS / f"{name}.yaml")
    assert run.dataset.class_list_digest == CUB200_CLASS_LISTS
