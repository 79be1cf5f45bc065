"""Augmentation: deterministic, image by image, and no more than asked for."""

import torch

from saga.data.augment import augment

NOTHING = {"flip": False, "crop_scale": 1.0, "jitter": 0.0}
PIXELS = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_nothing_asked_for_changes_nothing():
    assert torch.equal(augment(PIXELS, [1], **NOTHING), PIXELS)


def test_a_flip_mirrors_some_images_and_leaves_the_others():
    found = augment(PIXELS, [1], **(NOTHING | {"flip": True}))
    kept = [bool(torch.equal(a, b)) for a, b in zip(found, PIXELS)]
    mirrored = [bool(torch.equal(a, b.flip(-1))) for a, b in zip(found, PIXELS)]
    assert any(kept) and any(mirrored)
    assert all(a != b for a, b in zip(kept, mirrored))


def test_a_crop_shows_a_part_of_the_image_enlarged():
    ramp = torch.linspace(-1, 1, 64).expand(6, 3, 64, 64)
    found = augment(ramp, [2], **(NOTHING | {"crop_scale": 0.25}))
    slopes = (found[:, 0, 32, 40] - found[:, 0, 32, 24]) / (ramp[:, 0, 32, 40] - ramp[:, 0, 32, 24])
    # A crop of area s has a side of √s, which then fills the width.
    assert ((slopes > 0.49) & (slopes < 1.01)).all() and slopes.std() > 0.01


def test_jitter_is_a_change_of_contrast_and_brightness_within_its_bounds():
    found = augment(PIXELS, [3], **(NOTHING | {"jitter": 0.2}))
    for before, after in zip(PIXELS, found):
        spread = float(after.std() / before.std())
        assert 0.8 <= spread <= 1.2
        offset = after - spread * before
        assert float(offset.std()) < 1e-5 and abs(float(offset.mean())) <= 0.2
    assert not torch.equal(found, PIXELS)


def test_the_same_seed_gives_the_same_images_and_another_does_not():
    every = {"flip": True, "crop_scale": 0.5, "jitter": 0.2}
    assert torch.equal(augment(PIXELS, [4], **every), augment(PIXELS, [4], **every))
    assert not torch.equal(augment(PIXELS, [4], **every), augment(PIXELS, [5], **every))
