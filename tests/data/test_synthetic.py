import dataclasses
import itertools
import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from saga.data.synthetic.attributes import ATTRIBUTES, COUNTS, split_of, values_of
from saga.data.synthetic.configuration import SyntheticConfig
from saga.data.synthetic.dataset import (
    GENERATOR_VERSION,
    class_jobs,
    draw_class,
    draw_classes,
    is_whole,
    materialise,
)
from saga.data.synthetic.drawing import Scene, draw_bird
from saga.files import file_digests, sha256_bytes

TINY = SyntheticConfig(
    train_classes=2, validation_classes=1, test_classes=2, images_per_class=2, image_size=32
)


def test_the_same_configuration_draws_the_same_bytes_whatever_the_workers(tmp_path):
    for name, workers in (("one", 1), ("other", 2)):
        materialise(TINY, tmp_path / name, workers)
    digests = file_digests(tmp_path / "one")
    assert digests == file_digests(tmp_path / "other")
    assert len([name for name in digests if name.endswith(".png")]) == 10
    assert is_whole(TINY, tmp_path / "one")


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"haze": 0.0},
        {"clutter": 1.0},
        {"habitat": 0.0},
        {"tint": 0.2},
        {"shift": 0.5},
        {"entangled": True},
    ],
)
def test_another_configuration_draws_other_images(tmp_path, change):
    other = dataclasses.replace(TINY, **change)
    materialise(TINY, tmp_path / "one", 1)
    materialise(other, tmp_path / "other", 1)
    one, two = (set(file_digests(tmp_path / name / "images").values()) for name in ("one", "other"))
    assert one != two
    assert not is_whole(other, tmp_path / "one")


def test_the_images_are_of_the_size_asked_for_and_all_different(tmp_path):
    materialise(TINY, tmp_path / "set", 1)
    paths = sorted((tmp_path / "set/images").rglob("*.png"))
    pixels = [np.asarray(Image.open(path)) for path in paths]
    assert {image.shape for image in pixels} == {(32, 32, 3)}
    assert len({image.tobytes() for image in pixels}) == len(paths)


@pytest.mark.parametrize("seed", range(5))
def test_no_combination_is_on_two_sides_whatever_the_seed(seed):
    config = SyntheticConfig(train_classes=60, validation_classes=30, test_classes=60, seed=seed)
    classes = draw_classes(config)
    assert {side: len(c) for side, c in classes.items()} == {
        "train": 60,
        "validation": 30,
        "test": 60,
    }
    every = [combination for side in classes.values() for combination in side]
    assert len(set(every)) == len(every)
    for side, combinations in classes.items():
        assert {split_of(c) for c in combinations} == {side}


def test_the_sides_share_all_combinations_between_them_in_the_stated_proportions():
    counts = Counter(split_of(c) for c in itertools.product(*map(range, COUNTS)))
    total = sum(counts.values())
    assert total == 8000
    assert abs(counts["test"] / total - 0.3) < 0.02
    assert abs(counts["validation"] / total - 0.1) < 0.02


def test_test_classes_come_in_families_and_training_classes_do_not():
    classes = draw_classes(SyntheticConfig(train_classes=40, test_classes=40))

    def nearest(side):
        return [
            min(sum(a != b for a, b in zip(c, other)) for other in classes[side] if other != c)
            for c in classes[side]
        ]

    assert np.mean(np.array(nearest("test")) <= 2) > 0.9
    assert np.mean(nearest("train")) > np.mean(nearest("test")) + 0.5


def test_annotations_say_what_the_class_is_named_after(tmp_path):
    import pandas as pd

    materialise(TINY, tmp_path / "set", 1)
    table = pd.read_parquet(tmp_path / "set/annotations.parquet")
    classes = [c for side in draw_classes(TINY).values() for c in side]
    for row in table.to_dict("records"):
        values = values_of(classes[row["class_id"] - 1])
        assert json.loads(row["attributes"]) == values
        assert row["class_name"] == f"{row['class_id']:03d}." + "_".join(values.values())


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_every_attribute_shows_in_the_pixels(attribute):
    """The same bird in the same scene with another value of one attribute looks different."""
    scene = Scene(96, clutter=0.0, background=(120, 160, 90))
    values = {name: options[0] for name, options in ATTRIBUTES.items()}
    images = {
        option: draw_bird(values | {attribute: option}, np.random.default_rng(3), scene).astype(int)
        for option in ATTRIBUTES[attribute]
    }
    for one, other in itertools.combinations(images.values(), 2):
        assert (abs(one - other).max(-1) > 40).sum() >= 4


def test_the_habitat_ties_the_background_to_the_class_in_training_alone(tmp_path):
    config = SyntheticConfig(2, 0, 2, images_per_class=12, clutter=0.0, haze=0.0)
    materialise(config, tmp_path / "set", 1)
    spread = []
    for folder in sorted((tmp_path / "set/images").iterdir()):
        corners = [np.asarray(Image.open(p))[:6, :6].mean((0, 1)) for p in folder.iterdir()]
        spread.append(np.std(corners, axis=0).mean())
    assert max(spread[:2]) < min(spread[2:]) / 2


def test_progress_counts_images(tmp_path):
    told = []
    materialise(TINY, tmp_path / "set", 1, lambda *done: told.append(done))
    assert told == [(2, 10), (4, 10), (6, 10), (8, 10), (10, 10)]


def test_the_default_still_draws_what_generator_version_1_drew():
    """Whatever is cached or published under this version must stay what it is."""
    config = SyntheticConfig(2, 1, 2, images_per_class=2, image_size=32)
    pixels = b"".join(image.tobytes() for job in class_jobs(config) for image in draw_class(job))
    assert GENERATOR_VERSION == 1
    assert (
        sha256_bytes(pixels) == "5c97dee6fe329499a5cd4e1b1888c829eb249af9c81edb5b0933d8299019296b"
    )
