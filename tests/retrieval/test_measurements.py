import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from saga.encoders.configuration import PoolerConfig
from saga.encoders.poolers import build_pooler
from saga.encoders.preprocess import ImagePreprocessor
from saga.encoders.retriever import Retriever
from saga.encoders.towers import build_tower
from saga.errors import UserInputError
from saga.retrieval import measurements
from saga.retrieval.measurements import UNITS, Measurements, measure_encoder
from tests.checkpoints import VISION

FEW = {"batch_size": 4, "warm_up": 1, "repeats": 5, "batches": 3}


def retriever():
    torch.manual_seed(0)
    tower = build_tower("qwen3_vl", VISION)
    preprocessor = ImagePreprocessor(32, (0.5,) * 3, (0.5,) * 3)
    return Retriever(tower, build_pooler(PoolerConfig(), 16), preprocessor, {"arm": "saga"})


def pictures(count=12):
    pixels = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return [Image.fromarray(p) for p in pixels]


class Sleeper(torch.nn.Module):
    """Has its own clock, and comes back from the disk as `reloaded`."""

    embedding_dim, digest = 8, "sleeper"

    def __init__(self, seconds=lambda images, call: 0.0, reloaded=None):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3))
        self.now, self.calls, self.seconds = 0.0, [], seconds
        self.reloaded = reloaded or (lambda vectors: vectors)

    def encode(self, images, batch_size=64):
        self.now += self.seconds(len(images), len(self.calls))
        self.calls.append(len(images))
        vectors = np.stack([np.asarray(image, np.float32).ravel()[:8] for image in images])
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def save(self, folder):
        folder.mkdir()
        type(self).saved = self

    @classmethod
    def load(cls, folder, device):
        assert folder.is_dir() and device == "cpu"
        other, change = cls(), cls.saved.reloaded
        plain = other.encode
        other.encode = lambda images, size: change(plain(images, size))
        return other


def test_an_encoder_is_measured_and_agrees_with_itself_after_reload():
    encoder = retriever()
    found = measure_encoder(encoder, pictures(), name="saga", **FEW)
    figures = found.figures
    assert list(figures) == list(UNITS) and found.encoder_digest == encoder.digest
    assert figures["embedding_width"] == encoder.embedding_dim == 16
    assert figures["parameters"] == sum(p.numel() for p in encoder.parameters())
    assert figures["reload_agreement"] == 1 and figures["reload_max_difference"] < 1e-6
    for kind in ("encode_ms", "encode_batch_ms"):
        assert 0 < figures[f"{kind}_p50"] <= figures[f"{kind}_p95"]
    assert found.facts["images"] == 12 and found.facts["device_type"] == "cpu"


def test_the_figures_are_those_of_a_clock(monkeypatch):
    """10 ms an image; the first calls, which are warm-up, and every tenth take 50 ms more."""
    encoder = Sleeper(lambda images, call: 0.01 * images + 0.05 * (call < 2 or call % 10 == 9))
    monkeypatch.setattr(measurements, "time", SimpleNamespace(perf_counter=lambda: encoder.now))
    found = measure_encoder(
        encoder, pictures(), name="s", batch_size=3, warm_up=2, repeats=20, batches=4
    )
    figures = found.figures
    assert encoder.calls[:28] == [1] * 22 + [3] * 6
    assert figures["encode_ms_p50"] == pytest.approx(10)
    assert figures["encode_ms_p95"] == pytest.approx(60)
    assert figures["encode_batch_ms_p50"] == pytest.approx(30)
    assert figures["images_per_second"] == pytest.approx(100)


def test_an_encoder_that_comes_back_changed_is_found():
    shuffled = Sleeper(reloaded=lambda vectors: np.roll(vectors, 1, axis=0))
    found = measure_encoder(shuffled, pictures(), name="s", **FEW).figures
    assert found["reload_agreement"] < 0.5 and found["reload_max_difference"] > 0.1

    def one_moved(vectors):
        changed = vectors.copy()
        changed[0] = -vectors[0]
        return changed

    moved = Sleeper(reloaded=one_moved)
    found = measure_encoder(moved, pictures(), name="s", **FEW).figures
    assert 0.5 <= found["reload_agreement"] < 1


def test_a_single_image_has_no_neighbour_to_agree_on():
    with pytest.raises(ValueError, match="at least two images"):
        measure_encoder(Sleeper(), pictures(1), name="s", **FEW)


MADE = Measurements("saga", "ab" * 32, {"encode_ms_p95": 4.5, "parameters": 12}, {"threads": 2})


def test_saved_measurements_come_back_the_same(tmp_path):
    MADE.save(tmp_path)
    again = Measurements.load(tmp_path)
    assert again == MADE and again.digest == MADE.digest


@pytest.mark.parametrize(
    "change",
    [
        {"name": "dml"},
        {"encoder_digest": "cd" * 32},
        {"figures": {"encode_ms_p95": 4.4, "parameters": 12}},
        {"facts": {"threads": 1}},
        {"digest": "0" * 64},
    ],
)
def test_altered_measurements_do_not_load(tmp_path, change):
    MADE.save(tmp_path)
    path = tmp_path / "measurements.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserInputError, match="altered"):
        Measurements.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"name": 3},
        {"figures": []},
        {"figures": {"encode_ms_p95": "fast"}},
        {"figures": {"encode_ms_p95": True}},
        {"facts": None},
        {"more": 1},
    ],
)
def test_foreign_measurements_do_not_load(tmp_path, change):
    MADE.save(tmp_path)
    path = tmp_path / "measurements.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserInputError, match=r"measurements\.json"):
        Measurements.load(tmp_path)


def test_a_figure_that_is_not_a_number_is_refused():
    with pytest.raises(ValueError, match="encode_ms_p95 must be finite"):
        dataclasses.replace(MADE, figures={"encode_ms_p95": float("nan")})
