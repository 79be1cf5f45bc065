from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from saga.data.configuration import ImageLimits
from saga.data.images import ImageError
from saga.errors import UserInputError
from saga.files import sha256_file
from saga.retrieval.corruptions import corrupt
from saga.retrieval.extract import extract_embeddings


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
