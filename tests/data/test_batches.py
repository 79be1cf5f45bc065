import numpy as np
import pytest
import torch
from PIL import Image

from saga.data import batches
from saga.data.batches import ImageStore
from saga.data.configuration import DatasetConfig, ImageLimits
from saga.data.images import ImageError, load_image
from saga.data.load import load_manifest
from saga.encoders.preprocess import ImagePreprocessor
from saga.errors import UserInputError
from tests.data.made import made_folders

PREPROCESSOR = ImagePreprocessor(12, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
ONE_IMAGE = 12 * 12 * 3


@pytest.fixture
def manifest(tmp_path):
    made_folders(tmp_path, ["auk", "emu", "jay", "owl"], images=4, ending=".png")
    rng = np.random.default_rng(0)
    for path in tmp_path.rglob("*.png"):
        Image.fromarray(rng.integers(0, 256, (16, 20, 3), dtype=np.uint8)).save(path)
    return load_manifest(DatasetConfig(layout="folders", root=str(tmp_path)))


@pytest.fixture
def reads(monkeypatch):
    """Names of the files that were decoded, in order."""
    names = []

    def counted(path, limits):
        names.append(f"{path.parent.name}/{path.stem}")
        return load_image(path, limits)

    monkeypatch.setattr(batches, "load_image", counted)
    return names


def store(manifest, images: int | None = None, limits: ImageLimits | None = None) -> ImageStore:
    budget = {} if images is None else {"budget_bytes": images * ONE_IMAGE + 10}
    return ImageStore(
        manifest, manifest.training(), limits or ImageLimits(), PREPROCESSOR, **budget
    )


def expected(manifest, indices):
    frame = manifest.training()
    images = [load_image(manifest.root / frame["path"][i]) for i in indices]
    return PREPROCESSOR(images)


@pytest.mark.parametrize("images", [None, 0, 2])
def test_pixels_are_those_of_the_rows_in_the_order_asked_for(manifest, images):
    held = store(manifest, images)
    for indices in ([5, 0, 3], [3, 3, 7], [0, 1, 2, 3, 4, 5, 6, 7], [5, 0, 3]):
        found = held.pixels(indices)
        assert found.dtype == torch.float32 and found.shape == (len(indices), 3, 12, 12)
        torch.testing.assert_close(found, expected(manifest, indices), rtol=0, atol=0)


def test_an_image_is_decoded_once(manifest, reads):
    held = store(manifest)
    for _ in range(3):
        held.pixels([2, 0, 2])
    assert sorted(reads) == ["auk/0", "auk/2"]


def test_the_least_recently_used_image_goes_first(manifest, reads):
    held = store(manifest, images=2)
    held.pixels([0])
    held.pixels([1])
    held.pixels([0])
    held.pixels([2])
    reads.clear()
    held.pixels([0])
    held.pixels([2])
    assert reads == []
    held.pixels([1])
    assert reads == ["auk/1"]


def test_the_memory_kept_stays_within_the_budget(manifest):
    held = store(manifest, images=3)
    for _ in range(2):
        held.pixels(list(range(8)))
        kept = [image.nbytes for image in held._kept.values()]
        assert sum(kept) == held._kept_bytes == 3 * ONE_IMAGE


def test_a_file_that_changed_since_the_manifest_is_refused_by_name(manifest):
    held = store(manifest)
    held.pixels([0])
    for name in ("0", "1"):
        Image.new("RGB", (20, 16)).save(manifest.root / f"auk/{name}.png")
    held.pixels([0])
    with pytest.raises(UserInputError, match=r"auk/1\.png has changed since"):
        held.pixels([1])


def test_the_images_are_read_by_the_guarded_loader(manifest):
    with pytest.raises(ImageError, match="320 pixels is more than the cap"):
        store(manifest, limits=ImageLimits(max_pixels=300)).pixels([0])
    (manifest.root / "auk/2.png").unlink()
    with pytest.raises(UserInputError, match=r"auk/2\.png"):
        store(manifest).pixels([1, 2])


def test_a_row_that_does_not_exist_is_a_programming_error(manifest):
    with pytest.raises(IndexError):
        store(manifest).pixels([8])
