"""Overlays: colour lies where the weights are, and nowhere else."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image

from saga.encoders.configuration import PoolerConfig
from saga.encoders.poolers import build_pooler
from saga.encoders.preprocess import ImagePreprocessor
from saga.encoders.retriever import Retriever
from saga.encoders.towers import build_tower
from saga.reports.attention import attention_overlays, overlay
from saga.reports.pictures import GAP, LINE, TILE, row_width
from tests.checkpoints import VISION
from tests.reports.made import LIMITS, made_manifest, opened

GREY = Image.new("RGB", (80, 80), (120, 120, 120))


def made_retriever(pooler: str) -> Retriever:
    torch.manual_seed(0)
    tower = build_tower("qwen3_vl", VISION)
    preprocessor = ImagePreprocessor(32, (0.5,) * 3, (0.5,) * 3)
    return Retriever(tower, build_pooler(PoolerConfig(kind=pooler), 16), preprocessor)  # type: ignore[arg-type]


def colorfulness(image: Image.Image) -> np.ndarray:
    """How far each pixel is from grey."""
    values = np.asarray(image, float)
    return values.max(-1) - values.min(-1)


@pytest.mark.parametrize("cell", [(0, 0), (1, 3), (3, 2)])
def test_colour_lies_where_the_weight_is(cell: tuple[int, int]) -> None:
    weights = np.full((4, 4), 0.01)
    weights[cell] = 1 - weights.sum() + 0.01
    color = colorfulness(overlay(GREY, weights)).reshape(4, 20, 4, 20)
    means = color.mean(axis=(1, 3))
    assert np.unravel_index(means.argmax(), means.shape) == cell
    far = np.abs(np.indices((4, 4)) - np.array(cell)[:, None, None]).max(0) > 1
    assert means[cell] > 40 and means[far].max() < 1


def test_even_attention_stays_grey() -> None:
    assert colorfulness(overlay(GREY, np.full((4, 4), 1 / 16))).max() <= 1


def test_nearly_even_attention_is_fainter_than_a_clear_choice() -> None:
    nearly, clear = np.full((4, 4), 1 / 16), np.full((4, 4), 0.5 / 15)
    nearly[1, 1], clear[1, 1] = 1.2 / 16, 0.5
    faint, strong = (colorfulness(overlay(GREY, w / w.sum())).max() for w in (nearly, clear))
    assert 0 < faint < 0.5 * strong


def test_poolers_without_attention_and_no_images_give_none(tmp_path: Path) -> None:
    manifest = made_manifest(tmp_path, ["gull", "tern"])
    for pooler in ("mean", "max"):
        drawn = attention_overlays(made_retriever(pooler), manifest, manifest.frame, LIMITS)
        assert drawn is None
    nothing = manifest.frame.iloc[:0]
    assert attention_overlays(made_retriever("attention"), manifest, nothing, LIMITS) is None


def test_a_real_encoder_gives_a_column_per_image_and_the_same_bytes_twice(tmp_path: Path) -> None:
    manifest, retriever = made_manifest(tmp_path, ["gull", "tern"]), made_retriever("attention")
    drawn = attention_overlays(retriever, manifest, manifest.frame, LIMITS, images=3)
    assert drawn == attention_overlays(retriever, manifest, manifest.frame, LIMITS, images=3)
    assert drawn is not None
    tile = TILE + 4 + 2 * LINE
    assert opened(drawn).size == (row_width(3) + 2 * GAP, 2 * tile + 3 * GAP)


def test_every_query_of_the_pooler_has_its_row_and_every_image_its_own_weights(
    tmp_path: Path,
) -> None:
    manifest = made_manifest(tmp_path, ["gull", "tern"], images=1)
    weights = np.full((2, 3, 2, 2), 0.1)
    for image in range(2):
        for query in range(3):
            weights[image, query].flat[(image + query) % 4] = 0.7
    pooler = SimpleNamespace(config=SimpleNamespace(queries=("bill", "wing", "tail")))
    fake = SimpleNamespace(attention=lambda images: weights[: len(images)], pooler=pooler)
    png = attention_overlays(cast(Any, fake), manifest, manifest.frame, LIMITS)
    assert png is not None
    page, tile = opened(png), TILE + 4 + 2 * LINE
    for image in range(2):
        for query in range(3):
            left, top = GAP + image * (TILE + GAP), GAP + (query + 1) * (tile + GAP)
            bright = np.asarray(page.crop((left + 5, top + 5, left + 115, top + 115)), float)
            cells = bright.sum(-1).reshape(2, 55, 2, 55).mean(axis=(1, 3))
            assert cells.argmax() == (image + query) % 4
