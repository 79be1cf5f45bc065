"""The named regimes: each against the images of `free`, of the same seed."""

import dataclasses
import itertools
from functools import cache

import numpy as np
import pytest

from saga.data.synthetic.attributes import split_of, values_of
from saga.data.synthetic.configuration import MAX_ENTANGLED, SyntheticConfig
from saga.data.synthetic.dataset import class_jobs, draw_class, draw_classes, materialise
from saga.data.synthetic.regimes import REGIMES
from saga.files import file_digests

SIZES = SyntheticConfig(2, 1, 2, images_per_class=4, image_size=64)
SIDES = {"train": slice(0, 2), "validation": slice(2, 3), "test": slice(3, 5)}


@cache
def images(regime: str, clutter: float = 0.5, seed: int = 0) -> np.ndarray:
    """Images of every class, (5, 4, 64, 64, 3)."""
    changes = REGIMES[regime].changes | {"clutter": clutter, "seed": seed}
    config = dataclasses.replace(SIZES, **changes)
    return np.stack([np.stack(list(draw_class(job))) for job in class_jobs(config)])


def corners(drawn: np.ndarray) -> np.ndarray:
    """Mean colour of each image's upper left corner."""
    return drawn[..., :5, :5, :].mean((-3, -2))


def gains(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Factor of each channel from one image to the other, and check that it is all there is."""
    one, other = one.reshape(-1, 3).astype(float), other.reshape(-1, 3).astype(float)
    found = []
    for channel in range(3):
        a, b = one[:, channel], other[:, channel]
        inside = (a > 20) & (b < 255)
        factor = np.median(b[inside] / a[inside])
        assert np.abs(b[inside] - factor * a[inside]).max() < 4
        found.append(factor)
    return np.array(found)


@pytest.mark.parametrize("name", REGIMES)
def test_every_regime_is_a_valid_configuration_that_says_all_it_sets(name):
    regime = REGIMES[name]
    assert regime.name == name and regime.description.endswith(".")
    assert set(regime.changes) == {"habitat", "haze", "tint", "shift", "entangled"}
    other = SyntheticConfig(habitat=0.3, haze=0.2, tint=0.1, shift=0.1, entangled=True)
    assert dataclasses.replace(other, **regime.changes) == SyntheticConfig(**regime.changes)


def test_the_default_is_the_hazy_habitat_and_no_two_regimes_are_alike():
    configs = [SyntheticConfig(**regime.changes) for regime in REGIMES.values()]
    assert len(set(configs)) == len(REGIMES) == 8
    assert SyntheticConfig(**REGIMES["hazy_habitat"].changes) == SyntheticConfig()


@pytest.mark.parametrize(("name", "seed"), itertools.product(REGIMES, (0, 1)))
def test_no_combination_leaves_its_side_in_any_regime(name, seed):
    config = SyntheticConfig(train_classes=40, seed=seed, **REGIMES[name].changes)
    classes = draw_classes(config)
    for side, combinations in classes.items():
        assert len(set(combinations)) == getattr(config, f"{side}_classes")
        assert {split_of(combination) for combination in combinations} == {side}
    free = draw_classes(SyntheticConfig(train_classes=40, seed=seed, **REGIMES["free"].changes))
    assert classes["test"] == free["test"] and classes["validation"] == free["validation"]
    assert (classes["train"] == free["train"]) is (name != "entangled")


@pytest.mark.parametrize("name", ["habitat", "habitat70", "entangled"])
def test_what_ties_training_alone_leaves_test_and_validation_images_as_they_are(name):
    for side in ("validation", "test"):
        np.testing.assert_array_equal(images(name)[SIDES[side]], images("free")[SIDES[side]])
    assert (images(name)[SIDES["train"]] != images("free")[SIDES["train"]]).any((2, 3, 4)).any()


def test_the_habitat_is_one_colour_a_class_in_training_alone():
    spread = corners(images("habitat", clutter=0.0)).std(1).mean(-1)
    free = corners(images("free", clutter=0.0)).std(1).mean(-1)
    assert spread[SIDES["train"]].max() < free.min() / 2
    np.testing.assert_array_equal(spread[2:], free[2:])


def test_habitat70_ties_about_seventy_per_cent_of_the_training_images():
    changes = REGIMES["habitat70"].changes | {"clutter": 0.0}
    config = SyntheticConfig(2, 0, 2, images_per_class=60, image_size=96, **changes)
    jobs = [job for job in class_jobs(config) if job["split"] == "train"]
    drawn = np.stack([np.stack(list(draw_class(job))) for job in jobs])
    backgrounds = drawn[:, :, :3, :3].mean((2, 3))
    own = np.array([job["habitat"] for job in jobs])[:, None]
    near = np.abs(backgrounds - own).max(-1) < 50
    assert 0.6 < near.mean() < 0.85


def test_haze_blends_all_of_an_image_with_one_colour():
    """Seen on each class's first image; later ones are other scenes, as haze draws too."""
    clear = []
    for free, hazy in zip(images("free")[:, 0], images("haze")[:, 0]):
        slopes = []
        for channel in range(3):
            x, y = free[..., channel].ravel().astype(float), hazy[..., channel].ravel()
            slope, offset = np.polyfit(x, y, 1)
            assert np.abs(y - slope * x - offset).max() < 2.5
            slopes.append(slope)
        assert np.ptp(slopes) < 0.02 and min(slopes) > 0.29 and max(slopes) < 1.01
        clear.append(slopes[0])
    assert np.ptp(clear) > 0.05, "of random strength"


def test_a_tint_is_a_factor_of_each_channel_that_differs_from_image_to_image():
    plain, tinted = images("habitat"), images("tint")
    found = [
        gains(a, b) for a, b in zip(plain.reshape(-1, 64, 64, 3), tinted.reshape(-1, 64, 64, 3))
    ]
    logs = np.log(found)
    assert all(np.abs(a - b).max() > 1e-3 for a, b in itertools.combinations(found, 2))
    strength = REGIMES["tint"].changes["tint"]
    assert 0.7 * strength < logs.std() < 1.3 * strength and abs(logs.mean()) < strength / 2


def test_the_shift_takes_each_colour_to_one_colour_whatever_the_image_and_the_seed():
    """It is a function of a pixel: alike colours become alike, on every side and for every seed."""
    became: dict[tuple[int, ...], set[tuple[int, ...]]] = {}
    changed = 0.0
    for seed in (0, 1):
        plain, shifted = images("habitat", seed=seed), images("shift", seed=seed)
        changed = np.abs(plain.astype(float) - shifted).mean()
        for before, after in zip(plain.reshape(-1, 3).tolist(), shifted.reshape(-1, 3).tolist()):
            became.setdefault(tuple(before), set()).add(tuple(after))
        assert changed > 8
    recurring = [np.array(sorted(after)) for after in became.values() if len(after) > 1]
    assert len(recurring) > 100
    # A pixel is rounded after the shift, not before: alike only to within what was rounded.
    assert max(np.ptp(after, axis=0).max() for after in recurring) <= 3


def test_entangled_ties_hold_in_training_and_not_in_test():
    config = SyntheticConfig(train_classes=60, **REGIMES["entangled"].changes)
    classes = {
        side: [values_of(combination) for combination in combinations]
        for side, combinations in draw_classes(config).items()
    }

    def decides(side: str, first: str, second: str) -> bool:
        pairs = {(values[first], values[second]) for values in classes[side]}
        return len(pairs) == len({values[first] for values in classes[side]})

    for first, second in (("wing color", "tail color"), ("crown color", "bill color")):
        assert decides("train", first, second)
        assert not decides("validation", first, second) and not decides("test", first, second)
        assert len({values[first] for values in classes["train"]}) == 5
        assert len({values[second] for values in classes["train"]}) == 4
    assert not decides("train", "belly color", "wing pattern")


@pytest.mark.parametrize("seed", range(5))
def test_as_many_entangled_classes_as_allowed_can_be_drawn(seed):
    config = SyntheticConfig(train_classes=MAX_ENTANGLED, entangled=True, seed=seed)
    assert len(set(draw_classes(config)["train"])) == MAX_ENTANGLED


def test_every_change_at_once_is_the_same_whatever_the_workers(tmp_path):
    config = SyntheticConfig(
        3, 1, 2, 2, image_size=32, habitat=0.5, tint=0.3, shift=0.7, entangled=True, seed=5
    )
    for name, workers in (("one", 1), ("other", 2)):
        materialise(config, tmp_path / name, workers)
    assert file_digests(tmp_path / "one") == file_digests(tmp_path / "other")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"tint": -0.1}, "tint must be in"),
        ({"tint": 1.1}, "tint must be in"),
        ({"tint": float("nan")}, "tint must be in"),
        ({"shift": 1.5}, "shift must be in"),
        ({"shift": -1}, "shift must be in"),
        ({"entangled": "wing"}, "entangled must be true or false"),
        ({"entangled": 1}, "entangled must be true or false"),
        ({"entangled": True, "train_classes": 201}, "at most 200 if entangled, got 201"),
    ],
)
def test_impossible_values_are_refused(change, named):
    with pytest.raises(ValueError, match=named):
        SyntheticConfig(**change)


def test_the_documented_picture_shows_every_regime_and_is_small(tmp_path, monkeypatch):
    from PIL import Image

    from saga.data.synthetic import picture

    monkeypatch.setattr("sys.argv", ["picture", str(tmp_path / "images/regimes.png")])
    picture.main()
    path = tmp_path / "images/regimes.png"
    assert path.stat().st_size < 300_000
    with Image.open(path) as shown:
        assert shown.size[1] >= len(REGIMES) * picture.TILE
