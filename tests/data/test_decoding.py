from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image

from saga.data.configuration import DatasetConfig, ImageLimits
from saga.data.decoding import inspect_images
from saga.data.duplicates import close_hashes, near_duplicates
from saga.data.load import load_manifest
from tests.steps.made import made_dataset, picture

LIMITS = ImageLimits()
REAL = Path(__file__).parents[3] / "shared/data/CUB_200_2011"


def test_each_file_is_described_as_it_decodes(tmp_path):
    rgba = picture(0, (40, 20)).convert("RGBA")
    manifest = made_dataset(
        tmp_path, {"0/0.png": rgba, "0/1.png": Image.new("L", (33, 44), 7), "0/2.png": picture(2)}
    )
    found = inspect_images(manifest, LIMITS)
    assert found["exists"].all() and found["unchanged"].all() and found["decodes"].all()
    sizes = found[["decoded_width", "decoded_height"]].to_numpy().tolist()
    assert sizes[:3] == [[40, 20], [33, 44], [96, 80]]
    assert found["decoded_mode"].tolist()[:3] == ["RGBA", "L", "RGB"]
    assert found["one_color"].tolist()[:3] == [False, True, False]
    assert found["problem"].isna().all()


def test_the_hash_is_that_of_imagehash(tmp_path):
    manifest = made_dataset(tmp_path)
    found = inspect_images(manifest, LIMITS)
    for path, text in zip(manifest.frame["path"], found["phash"]):
        with Image.open(tmp_path / path) as image:
            assert imagehash.phash(image) - imagehash.hex_to_hash(text) <= 2


def test_pixels_over_the_cap_are_not_decoded(tmp_path):
    found = inspect_images(made_dataset(tmp_path), ImageLimits(max_pixels=100))
    assert not found["decodes"].any() and found["thumbnail"].isna().all()
    assert found["problem"].str.contains("more than the cap").all()


@pytest.mark.parametrize("workers", [1, 3])
def test_the_order_is_the_manifests_however_many_workers(tmp_path, workers):
    sizes = {f"{n // 3}/{n}.png": picture(n, (40 + n, 50)) for n in range(12)}
    found = inspect_images(made_dataset(tmp_path, sizes), LIMITS, workers=workers)
    assert found["decoded_width"].tolist() == [40 + n for n in range(12)]


def test_close_hashes_finds_the_pairs_that_a_loop_finds():
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 150, dtype=np.uint64)
    mirrored = rng.integers(0, 2**64, 150, dtype=np.uint64)
    hashes[140] = hashes[3] ^ np.uint64(0b111)
    mirrored[149] = hashes[70] ^ np.uint64(0b1)
    expected = {
        (a, b, flipped)
        for a in range(150)
        for b in range(a + 1, 150)
        for flipped, others in ((False, hashes), (True, mirrored))
        if (int(hashes[a]) ^ int(others[b])).bit_count() <= 20
    }
    found = close_hashes(hashes, mirrored, 20)
    assert set(found.itertuples(index=False, name=None)) == expected
    assert {(3, 140, False), (70, 149, True)} <= expected


def described(manifest):
    found = inspect_images(manifest, LIMITS)
    found[["sha256", "split"]] = manifest.frame[["sha256", "split"]].to_numpy()
    return found


def test_a_frame_around_two_photos_does_not_make_them_near_duplicates(tmp_path):
    def framed(seed):
        frame = Image.new("RGB", (96, 80), "white")
        frame.paste(picture(seed, (68, 52)).point(lambda v: 40 + v // 4), (14, 14))
        return frame

    manifest = made_dataset(tmp_path, {"0/0.png": framed(50), "2/6.png": framed(51)})
    assert near_duplicates(described(manifest)).empty
    again = {"0/0.png": framed(50), "2/6.png": framed(50).resize((80, 66))}
    pairs = near_duplicates(described(made_dataset(tmp_path, again)))
    assert pairs[["a", "b"]].to_numpy().tolist() == [[0, 6]]


def test_flat_images_and_the_same_file_twice_are_no_near_duplicates(tmp_path):
    flat = {"0/0.png": Image.new("RGB", (60, 60), (90, 90, 90))}
    flat |= {"2/6.png": Image.new("RGB", (61, 60), (90, 90, 91))}
    twice = {"0/1.png": picture(1), "2/7.png": picture(1)}
    assert near_duplicates(described(made_dataset(tmp_path, flat | twice))).empty


@pytest.mark.skipif(not REAL.is_dir(), reason="the CUB photos are not beside the repository")
def test_edited_photos_are_found_and_others_are_not(tmp_path):
    config = DatasetConfig(layout="cub200", root=str(REAL), max_images_per_class=2)
    manifest = load_manifest(config)
    assert near_duplicates(described(manifest)).empty
    for number, row in enumerate(manifest.frame["path"].iloc[:6]):
        photo = Image.open(manifest.root / row).convert("RGB")
        width, height = photo.size
        trim = photo.crop((3, 3, width - 3, height - 3)).resize((width // 2, height // 2))
        made = made_dataset(tmp_path / str(number), {"0/0.png": photo, "3/9.png": trim})
        assert near_duplicates(described(made))[["a", "b"]].to_numpy().tolist() == [[0, 9]], row
