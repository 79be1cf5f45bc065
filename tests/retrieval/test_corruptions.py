import numpy as np
import pytest
from PIL import Image

from saga.retrieval.corruptions import CORRUPTIONS, CROP_SHARE, NOISE_DEVIATION, corrupt

PINNED = [48, 39, 6]
"""Left edges of three crops."""


def picture(width=64, height=48, seed=0):
    """Smooth colours with an edge, as photos have both."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / width * 6 + p) * np.cos(y / height * 4 + p) for p in (0, 1, seed + 2)]
    pixels = 127 + 80 * np.stack(waves, axis=-1)
    pixels[:, width // 2 :] += 30
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def difference(a, b):
    return np.abs(np.asarray(a, float) - np.asarray(b, float)).mean()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_same_image_is_corrupted_to_the_same_pixels_and_the_original_is_left_alone(name):
    image = picture()
    before = image.tobytes()
    first = corrupt(image, name, "a/1.jpg")
    assert first.mode == "RGB" and image.tobytes() == before
    assert first.tobytes() == corrupt(image.copy(), name, "a/1.jpg").tobytes()
    assert first.tobytes() != before


@pytest.mark.parametrize("name", ["gaussian_noise", "crop"])
def test_another_image_id_gives_another_draw(name):
    found = {corrupt(picture(), name, f"image-{i}").tobytes() for i in range(5)}
    assert len(found) == 5


def test_the_draw_is_pinned_across_processes_and_versions():
    """hash() of a text changes with the process: a report of another day would see other pixels."""
    left = [np.asarray(corrupt(_ramp(), "crop", name))[0, 0, 0] for name in ("a", "b", "c")]
    assert [int(v) for v in left] == PINNED


def _ramp():
    """Red says the column."""
    return Image.fromarray(
        np.broadcast_to(np.arange(200, dtype=np.uint8)[None, :, None], (40, 200, 3)).copy()
    )


def test_noise_has_its_deviation_and_no_shift():
    grey = Image.new("RGB", (200, 160), (128, 128, 128))
    noise = np.asarray(corrupt(grey, "gaussian_noise", "x"), float) - 128
    assert noise.std() == pytest.approx(255 * NOISE_DEVIATION, rel=0.03)
    assert abs(noise.mean()) < 0.5


@pytest.mark.parametrize("name", ["gaussian_noise", "gaussian_blur"])
def test_a_large_photo_suffers_as_much_as_a_small_one_once_it_is_shrunk(name):
    small = picture(224, 224)
    large = picture(896, 896)
    shrunk = large.resize((224, 224), Image.Resampling.BOX)
    harm = difference(corrupt(small, name, "x"), small)
    shrunk_harm = difference(
        corrupt(large, name, "x").resize((224, 224), Image.Resampling.BOX), shrunk
    )
    assert shrunk_harm == pytest.approx(harm, rel=0.35)


def test_a_crop_is_a_part_of_the_picture_of_the_stated_size():
    image = picture(101, 67)
    cropped = corrupt(image, "crop", "x")
    assert cropped.size == (round(CROP_SHARE * 101), round(CROP_SHARE * 67))
    whole, part = np.asarray(image), np.asarray(cropped)
    h, w = part.shape[:2]
    places = [(y, x) for y in range(67 - h + 1) for x in range(101 - w + 1)]
    assert any((whole[y : y + h, x : x + w] == part).all() for y, x in places)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (3, 2)])
def test_tiny_and_narrow_pictures_survive(name, size):
    result = corrupt(Image.new("RGB", size, (9, 99, 199)), name, "x")
    assert result.mode == "RGB" and min(result.size) >= 1
