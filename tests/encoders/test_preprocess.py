"""Preprocessing against the hub's own processors."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor

from saga.encoders.preprocess import ImagePreprocessor
from saga.errors import UserInputError
from tests.supervisors.conftest import IMAGE_SIZE

SIZE = 64


def photo(width=SIZE, height=SIZE, seed=0):
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (9, 7, 3), dtype=np.uint8))
    return small.resize((width, height), Image.Resampling.BILINEAR)


@pytest.mark.parametrize("family", sorted(IMAGE_SIZE))
def test_an_image_of_the_right_size_becomes_what_the_hubs_processor_makes_of_it(
    tiny_folders, family
):
    folder = tiny_folders[family]
    ours = ImagePreprocessor.from_pretrained_folder(str(folder), SIZE)
    images = [photo(seed=s) for s in range(3)]
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    options = {} if family == "qwen3_vl" else {"size": {"height": SIZE, "width": SIZE}}
    theirs = processor(images, return_tensors="pt", **options)
    pixels = ours(images)
    assert pixels.shape == (3, 3, SIZE, SIZE) and pixels.dtype == torch.float32
    if family == "qwen3_vl":
        assert theirs["image_grid_thw"].tolist() == [[1, 8, 8]] * 3
        from saga.encoders.towers import build_tower

        vision = json.loads((folder / "config.json").read_text())["vision_config"]
        pixels = build_tower(family, vision).patches(pixels)
    torch.testing.assert_close(pixels, theirs["pixel_values"].float(), atol=1e-5, rtol=1e-5)


def test_mean_std_and_filter_are_the_checkpoints(tiny_folders):
    made = {
        family: ImagePreprocessor.from_pretrained_folder(str(folder), SIZE)
        for family, folder in tiny_folders.items()
    }
    assert made["qwen3_vl"].mean == (0.5, 0.5, 0.5)
    assert made["internvl"].std == (0.229, 0.224, 0.225)
    assert {m.resample for m in made.values()} == {"bicubic"} and made["internvl"].size == SIZE


def test_a_photo_of_any_shape_is_resized_straight_to_the_square():
    ours = ImagePreprocessor(SIZE, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    wide = photo(200, 50)
    wanted = np.asarray(wide.resize((SIZE, SIZE), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    torch.testing.assert_close(ours([wide])[0], torch.tensor(wanted / 255.0, dtype=torch.float32))
    assert np.array_equal(ours.resize(photo()), np.asarray(photo()))


def test_it_survives_json():
    ours = ImagePreprocessor(96, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "lanczos")
    assert ImagePreprocessor.from_dict(json.loads(json.dumps(ours.to_dict()))) == ours


@pytest.mark.parametrize(
    "values",
    [
        {"size": 0},
        {"std": (0.5, 0.0, 0.5)},
        {"std": (0.5, float("nan"), 0.5)},
        {"mean": (0.5, 0.5)},
        {"resample": "sharpest"},
    ],
)
def test_impossible_values_are_refused(values):
    good = {"size": 8, "mean": (0.5,) * 3, "std": (0.5,) * 3, "resample": "bicubic"}
    with pytest.raises(ValueError):
        ImagePreprocessor.from_dict(good | values)


def test_a_folder_without_preprocessing_is_named(tmp_path):
    with pytest.raises(UserInputError, match="no usable preprocessor_config.json"):
        ImagePreprocessor.from_pretrained_folder(str(tmp_path), SIZE)
