from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from saga.data.configuration import ImageLimits
from saga.files import sha256_file
from saga.retrieval.configuration import RetrievalConfig
from saga.retrieval.evaluate import evaluate_encoder


class Thumbnail:
    """An encoder whose embedding is the image in 4×4 pixels."""

    embedding_dim, digest = 48, "thumbnail"

    def encode(self, images, batch_size=64):
        small = [np.asarray(i.resize((4, 4)), np.float32).ravel() + 1 for i in images]
        return np.stack([v / np.linalg.norm(v) for v in small]).astype(np.float32)


@pytest.fixture
def manifest(tmp_path):
    """Three classes of four noisy pictures each."""
    rng, rows = np.random.default_rng(0), []
    for i in range(12):
        centre = np.random.default_rng(i // 4).integers(40, 215, size=(6, 8, 3))
        pixels = np.kron(centre, np.ones((8, 8, 1))) + rng.normal(0, 40, size=(48, 64, 3))
        path = tmp_path / f"{i}.png"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
        rows.append({"image_id": str(i), "path": path.name, "sha256": sha256_file(path)})
    frame = pd.DataFrame(rows)
    frame["class_id"] = np.arange(12) // 4
    frame["class_name"] = frame["class_id"].map("class {}".format)
    return SimpleNamespace(
        frame=frame, digest="dataset", image_path=lambda name: Path(tmp_path / name)
    )


def evaluate(manifest, progress=None, **config):
    return evaluate_encoder(
        Thumbnail(),
        manifest,
        manifest.frame,
        RetrievalConfig(**config),
        "saga",
        ImageLimits(),
        progress,
    )


def test_every_corruption_has_its_outcomes_and_leaves_the_clean_ones_as_they_are(manifest):
    names = ("gaussian_noise", "gaussian_blur", "jpeg", "crop")
    plain, report = evaluate(manifest), evaluate(manifest, corruptions=names)
    assert report.corruptions == tuple(report.under_corruption) == names
    assert report.metrics == plain.metrics and plain.corruptions == ()
    assert report.digest == evaluate(manifest, corruptions=names).digest != plain.digest
    assert report.under_corruption["gaussian_blur"] == pytest.approx(plain.metrics["recall_at_1"])
    assert report.under_corruption["crop"] < plain.metrics["recall_at_1"] == 1


def test_progress_runs_once_over_all_passes(manifest):
    told = []
    evaluate(manifest, lambda *done: told.append(done), corruptions=("jpeg",), batch_size=5)
    assert told == [(5, 24), (10, 24), (12, 24), (17, 24), (22, 24), (24, 24)]
