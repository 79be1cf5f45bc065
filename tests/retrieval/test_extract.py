import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from saga.data.configuration import ImageLimits, LoadingConfig
from saga.data.images import ImageError, load_image
from saga.encoders.configuration import PoolerConfig
from saga.encoders.poolers import build_pooler
from saga.encoders.preprocess import ImagePreprocessor
from saga.encoders.retriever import Retriever
from saga.encoders.tower import VisionTokens, VisionTower
from saga.errors import UserInputError
from saga.files import sha256_file
from saga.retrieval.corruptions import corrupt
from saga.retrieval.extract import extract_embeddings, load_images


class MeanColour:
    """An encoder whose embedding is the image's mean colour."""

    embedding_dim = 3

    def __init__(self):
        self.batches = []

    def encode(self, images, batch_size=64):
        self.batches.append(len(images))
        means = np.stack([np.asarray(image, np.float32).mean((0, 1)) for image in images])
        return (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def manifest(tmp_path):
    rows = []
    for i in range(7):
        path = tmp_path / f"{i}.png"
        Image.new("RGB", (8, 6), (20 * i + 10, 100, 30)).save(path)
        rows.append({"image_id": str(i), "path": path.name, "sha256": sha256_file(path)})
    return SimpleNamespace(frame=pd.DataFrame(rows), image_path=lambda name: Path(tmp_path / name))


def test_embeddings_come_in_the_order_of_the_rows_and_progress_reaches_the_end(manifest):
    rows = manifest.frame.iloc[[5, 1, 6, 0, 2]]
    told = []
    encoder = MeanColour()
    found = extract_embeddings(encoder, manifest, rows, 2, lambda *done: told.append(done))
    assert found.dtype == np.float32 and found.shape == (5, 3)
    assert np.argsort(found[:, 0]).tolist() == [3, 1, 4, 0, 2]
    assert told == [(2, 5), (4, 5), (5, 5)] and encoder.batches == [2, 2, 1]
    whole = extract_embeddings(MeanColour(), manifest, manifest.frame)
    np.testing.assert_array_equal(found, whole[[5, 1, 6, 0, 2]])


def test_no_rows_give_an_empty_array_of_the_right_width(manifest):
    assert extract_embeddings(MeanColour(), manifest, manifest.frame.iloc[:0]).shape == (0, 3)


def test_a_file_that_changed_since_the_manifest_is_refused_by_name(manifest):
    Image.new("RGB", (8, 6)).save(manifest.image_path("3.png"))
    with pytest.raises(UserInputError, match=r"3\.png has changed since"):
        extract_embeddings(MeanColour(), manifest, manifest.frame)


def test_the_images_are_read_by_the_guarded_loader(manifest):
    with pytest.raises(ImageError, match="pixels"):
        extract_embeddings(
            MeanColour(), manifest, manifest.frame, limits=ImageLimits(max_pixels=10)
        )
    manifest.image_path("2.png").unlink()
    with pytest.raises(ImageError, match=r"2\.png"):
        extract_embeddings(MeanColour(), manifest, manifest.frame)


def test_an_encoder_that_gives_nan_is_told(manifest):
    encoder = MeanColour()
    encoder.encode = lambda images, batch_size: np.full((len(images), 3), np.nan, np.float32)
    with pytest.raises(ValueError, match="NaN"):
        extract_embeddings(encoder, manifest, manifest.frame)


def test_a_corruption_reaches_every_image_under_its_own_id_whatever_the_batches(manifest):
    noisy = extract_embeddings(MeanColour(), manifest, manifest.frame, 3, corruption="crop")
    plain = extract_embeddings(MeanColour(), manifest, manifest.frame)
    np.testing.assert_allclose(noisy, plain, atol=1e-6)  # one colour stays itself when cropped
    seen = []
    encoder = MeanColour()
    encoder.encode = lambda images, _: seen.extend(images) or np.ones((len(images), 3), np.float32)
    extract_embeddings(encoder, manifest, manifest.frame, 3, corruption="gaussian_noise")
    for row, image in zip(manifest.frame.itertuples(), seen, strict=True):
        clean = Image.open(manifest.image_path(row.path))
        assert image.tobytes() == corrupt(clean, "gaussian_noise", row.image_id).tobytes()


class Patches(VisionTower):
    """Tokens that are a linear map of 4×4 patches, and a list of the batches that came."""

    width, pixels_per_token = 6, 4

    def __init__(self):
        super().__init__()
        self.project = nn.Conv2d(3, 6, 4, 4)
        self.seen = []

    def forward(self, pixels_BCHW):
        self.seen.append(pixels_BCHW.clone())
        return VisionTokens(self.project(pixels_BCHW).flatten(2).transpose(1, 2))


@pytest.fixture
def retriever():
    torch.manual_seed(0)
    preprocessor = ImagePreprocessor(8, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    return Retriever(Patches(), build_pooler(PoolerConfig(embedding_dim=5), 6), preprocessor)


@pytest.fixture
def photos(manifest):
    """The manifest's files as noise of several sizes."""
    rng, frame = np.random.default_rng(0), manifest.frame
    for i, name in enumerate(frame["path"]):
        size = (9 + i, 30 - i, 3)
        Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).save(manifest.image_path(name))
    frame["sha256"] = [sha256_file(manifest.image_path(name)) for name in frame["path"]]
    return manifest


@pytest.mark.parametrize("corruption", [None, "gaussian_noise", "jpeg"])
@pytest.mark.parametrize("loading", [LoadingConfig(1, 0), LoadingConfig(4, 2), LoadingConfig(3, 9)])
def test_workers_give_bit_for_bit_what_one_image_after_the_other_gives(
    retriever, photos, loading, corruption
):
    images = [load_image(photos.image_path(name)) for name in photos.frame["path"]]
    if corruption is not None:
        images = [corrupt(i, corruption, str(n)) for n, i in enumerate(images)]
    plain = np.concatenate([retriever.encode(images[i : i + 3], 3) for i in range(0, 7, 3)])
    pixels = torch.cat(retriever.tower.seen)
    assert torch.equal(pixels, retriever.preprocessor(images))
    retriever.tower.seen.clear()
    found = extract_embeddings(
        retriever, photos, photos.frame, 3, corruption=corruption, loading=loading
    )
    assert torch.equal(torch.cat(retriever.tower.seen), pixels)
    np.testing.assert_array_equal(found, plain)


def test_the_next_batches_are_prepared_while_one_is_embedded_and_no_more(photos, monkeypatch):
    from saga.data import reading

    read, names, changed = reading.read_file, [], threading.Condition()

    def counted(path, limits):
        with changed:
            names.append(path.name)
            changed.notify_all()
        return read(path, limits)

    monkeypatch.setattr(reading, "read_file", counted)
    encoder, seen = MeanColour(), []
    encode = encoder.encode

    def wait_for_reads(images, batch_size):
        wanted = min(7, 2 * (len(seen) + 1 + 2))
        with changed:
            assert changed.wait_for(lambda: len(names) >= wanted, 60)
        seen.append(len(names))
        return encode(images, batch_size)

    encoder.encode = wait_for_reads
    extract_embeddings(encoder, photos, photos.frame, 2, loading=LoadingConfig(2, 2))
    assert seen == [6, 7, 7, 7] and sorted(names) == [f"{i}.png" for i in range(7)]


def test_earlier_batches_are_told_before_a_damaged_file_is(manifest):
    Image.new("RGB", (8, 6)).save(manifest.image_path("5.png"))
    told = []
    with pytest.raises(UserInputError, match=r"5\.png has changed since"):
        extract_embeddings(
            MeanColour(), manifest, manifest.frame, 2, lambda *done: told.append(done)
        )
    assert told == [(2, 7), (4, 7)]


def test_no_thread_stays_whether_extraction_ends_or_fails(manifest):
    before = set(threading.enumerate())
    extract_embeddings(MeanColour(), manifest, manifest.frame, 2)
    manifest.image_path("3.png").unlink()
    with pytest.raises(ImageError):
        extract_embeddings(MeanColour(), manifest, manifest.frame, 2)
    assert set(threading.enumerate()) == before


def test_loaded_images_are_whole_and_verified(photos):
    found = load_images(photos, photos.frame)
    assert [image.size for image in found] == [(30 - i, 9 + i) for i in range(7)]
    Image.new("RGB", (8, 6)).save(photos.image_path("4.png"))
    with pytest.raises(UserInputError, match=r"4\.png has changed since"):
        load_images(photos, photos.frame)
    with pytest.raises(ImageError, match="pixels"):
        load_images(photos, photos.frame, ImageLimits(max_pixels=10))


def test_an_array_of_resized_images_is_encoded_as_its_images_are(retriever, photos):
    images = load_images(photos, photos.frame)
    resized = np.stack([retriever.preprocessor.resize(image) for image in images])
    plain = retriever.encode(images, 4)
    for given in (resized, list(resized)):
        np.testing.assert_array_equal(retriever.encode(given, 4), plain)
    larger = np.random.default_rng(0).integers(0, 256, (3, 12, 20, 3), dtype=np.uint8)
    one_by_one = retriever.encode([Image.fromarray(image) for image in larger])
    np.testing.assert_array_equal(retriever.encode(larger), one_by_one)
    with pytest.raises(ValueError, match="must be uint8"):
        retriever.encode(resized.astype(np.float32))


def test_normalised_pixels_are_those_of_the_formula_to_the_last_bit(retriever):
    resized = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    kept = resized.copy()
    mean, std = (np.array(v, np.float32) for v in ((0.4, 0.5, 0.6), (0.2, 0.3, 0.4)))
    expected = (resized.astype(np.float32) / np.float32(255) - mean) / std
    found = retriever.preprocessor.normalise(resized)
    np.testing.assert_array_equal(found, expected.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(resized, kept)
