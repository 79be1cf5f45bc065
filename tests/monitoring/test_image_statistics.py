import numpy as np
import pytest
from PIL import Image, ImageFilter

from saga.monitoring.image_statistics import STATISTICS, image_statistics


def noise(size: tuple[int, int] = (64, 48)) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_the_figures_are_those_written_out_in_loops():
    image = noise()
    found = image_statistics(image)
    pixels = np.asarray(image).astype(float) / 255
    grey = [[0.299 * r + 0.587 * g + 0.114 * b for r, g, b in row] for row in pixels]
    flat = [value for row in grey for value in row]
    mean = sum(flat) / len(flat)
    edges = [
        grey[y - 1][x] + grey[y + 1][x] + grey[y][x - 1] + grey[y][x + 1] - 4 * grey[y][x]
        for y in range(1, 47)
        for x in range(1, 63)
    ]
    red, green, blue = (pixels[:, :, c].mean() for c in range(3))
    assert found == pytest.approx(
        {
            "brightness": mean,
            "contrast": np.std(flat),
            "sharpness": np.std(edges),
            "warmth": red - blue,
            "greenness": green - (red + blue) / 2,
            "aspect": 64 / 48,
            "size": (64 * 48) ** 0.5,
        },
        abs=1e-5,
    )
    assert list(found) == list(STATISTICS)


@pytest.mark.parametrize(
    ("change", "statistic", "sign"),
    [
        (lambda p: p // 2, "brightness", -1),
        (lambda p: p // 2 + 64, "contrast", -1),
        (lambda p: p * np.array([1, 1, 0.5]), "warmth", 1),
        (lambda p: p * np.array([0.5, 1, 0.5]), "greenness", 1),
    ],
)
def test_each_change_moves_its_statistic(change, statistic, sign):
    image = noise()
    changed = Image.fromarray(change(np.asarray(image)).astype(np.uint8))
    before, after = image_statistics(image)[statistic], image_statistics(changed)[statistic]
    assert sign * (after - before) > 0.02


def test_blur_takes_sharpness_and_resolution_does_not_pass_for_it():
    large = noise((1024, 768)).filter(ImageFilter.GaussianBlur(6))
    assert image_statistics(large.filter(ImageFilter.GaussianBlur(12)))["sharpness"] < (
        0.75 * image_statistics(large)["sharpness"]
    )
    smaller = large.resize((512, 384), Image.Resampling.BOX)
    assert image_statistics(smaller)["sharpness"] == pytest.approx(
        image_statistics(large)["sharpness"], rel=0.1
    )


@pytest.mark.parametrize("size", [(1, 1), (2, 900), (3000, 1)])
def test_slivers_have_finite_statistics(size):
    assert np.isfinite(list(image_statistics(Image.new("RGB", size, "red")).values())).all()
