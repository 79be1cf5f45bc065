from pathlib import Path

import numpy as np
import pytest
import torch

from saga.data.images import load_image
from saga.gates.regressions import BROKEN, BrokenEncoder, forget_class
from saga.training.trainer import untrained_retriever
from tests.training.made import EMBEDDED, made_birds


@pytest.fixture(scope="module")
def whole():
    return untrained_retriever(EMBEDDED)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory):
    birds = made_birds(Path(tmp_path_factory.mktemp("birds")), classes=3, images=2)
    return [load_image(birds.image_path(path)) for path in birds.frame["path"]]


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_broken_encoder_gives_other_vectors_of_unit_length(whole, images, name):
    broken = BrokenEncoder(whole, name)
    vectors = broken.encode(images, batch_size=4)
    assert vectors.shape == (len(images), broken.embedding_dim)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert not np.allclose(vectors, whole.encode(images), atol=1e-3)
    assert broken.digest != whole.digest


def test_swapped_channels_are_the_image_with_red_and_blue_swapped(whole, images):
    from PIL import Image

    swapped = [Image.fromarray(np.asarray(image)[..., ::-1].copy()) for image in images]
    mean, std = whole.preprocessor.mean, whole.preprocessor.std
    assert len(set(mean)) == len(set(std)) == 1, "else normalising and swapping do not commute"
    found = BrokenEncoder(whole, "channels_swapped").encode(images)
    assert np.allclose(found, whole.encode(swapped), atol=1e-5)


def test_pixels_that_were_not_normalised_are_in_the_unit_interval(whole, images):
    pixels_of, _ = BROKEN["wrong_normalisation"]
    pixels = pixels_of(whole, whole.preprocessor(images))
    assert pixels.min() >= -1e-6 and pixels.max() <= 1 + 1e-6
    assert not torch.allclose(pixels, whole.preprocessor(images))


def test_a_forgotten_class_has_vectors_of_others_and_the_rest_is_untouched():
    vectors, classes = np.eye(12, dtype=np.float32), np.repeat([0, 1, 2], 4)
    found = forget_class(vectors, classes, 1, seed=3)
    assert np.array_equal(found[classes != 1], vectors[classes != 1])
    origin = found[classes == 1].argmax(1)
    assert set(classes[origin]) <= {0, 2} and len(set(origin)) == 4
    assert np.array_equal(found, forget_class(vectors, classes, 1, seed=3))
