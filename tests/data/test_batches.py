import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from saga.data import reading
from saga.data.ahead import LookAhead
from saga.data.batches import GIB, ImageStore
from saga.data.configuration import DatasetConfig, ImageLimits, LoadingConfig
from saga.data.images import ImageError, load_image
from saga.data.load import load_manifest
from saga.encoders.preprocess import ImagePreprocessor
from saga.errors import UserInputError
from saga.mining.batching import PairGuidedSampler
from saga.mining.configuration import MiningConfig
from saga.mining.miner import mine_pairs
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
    decode = reading.decode_image

    def counted(data, path, limits):
        names.append(f"{path.parent.name}/{path.stem}")
        return decode(data, path, limits)

    monkeypatch.setattr(reading, "decode_image", counted)
    return names


@pytest.fixture
def gate(monkeypatch):
    """While it is cleared, no file can be read."""
    gate, read = threading.Event(), reading.read_file
    gate.set()

    def gated(path, limits):
        assert gate.wait(60)
        return read(path, limits)

    monkeypatch.setattr(reading, "read_file", gated)
    yield gate
    gate.set()


def store(
    manifest, images: int | None = None, limits: ImageLimits | None = None, workers: int = 4
) -> ImageStore:
    """With room for some images, and ten bytes."""
    budget = {} if images is None else {"cache_gib": (images * ONE_IMAGE + 10) / GIB}
    loading = LoadingConfig(workers=workers, **budget)
    return ImageStore(manifest, manifest.training(), limits or ImageLimits(), PREPROCESSOR, loading)


def held_bytes(held: ImageStore) -> int:
    """Of all resized images that the store refers to, once all reads are done."""
    return sum(
        read.result().nbytes for part in (held._kept, held._in_flight) for read in part.values()
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
        assert held_bytes(held) == 3 * ONE_IMAGE


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


@pytest.mark.parametrize("workers", [1, 2, 7])
@pytest.mark.parametrize("images", [None, 0, 3])
def test_reading_ahead_changes_neither_values_nor_order(manifest, workers, images):
    held = store(manifest, images, workers=workers)
    batches = [[5, 0, 3], [3, 3, 7], [7, 6, 5, 4], [1, 2, 0], [5, 0, 3]]
    for number, indices in enumerate(batches):
        for coming in batches[number : number + 3]:
            held.prefetch(coming)
        found = held.pixels(indices)
        torch.testing.assert_close(found, expected(manifest, indices), rtol=0, atol=0)


def test_prefetching_returns_at_once_and_what_is_under_way_is_not_read_again(manifest, reads, gate):
    gate.clear()
    held = store(manifest)
    for indices in ([0, 1], [1, 2], [0, 1, 2]):
        held.prefetch(indices)
    assert reads == []
    gate.set()
    held.pixels([2, 1, 0])
    held.prefetch([0, 2])
    held.pixels([0, 2])
    assert sorted(reads) == ["auk/0", "auk/1", "auk/2"]


def test_only_waiting_for_images_counts_as_waiting(manifest, gate):
    held = store(manifest)
    held.prefetch([0, 1])
    for read in held._in_flight.values():
        read.result()
    held.pixels([0, 1])
    held.pixels([1])
    assert held.waited_seconds == 0
    gate.clear()
    opener = threading.Timer(0.05, gate.set)
    opener.start()
    held.pixels([2])
    opener.join()
    waited = held.waited_seconds
    assert waited > 0.01
    held.pixels([2, 1])
    assert held.waited_seconds == waited


@pytest.mark.parametrize("images", [0, 2])
def test_what_was_prefetched_stays_until_it_is_asked_for_whatever_the_budget(
    manifest, reads, images
):
    held = store(manifest, images)
    held.pixels([3])
    held.prefetch([3, 4, 5, 6])
    for other in (0, 1, 2, 7):
        held.pixels([other])
    reads.clear()
    for i in (3, 4, 5, 6):
        held.pixels([i])
    assert reads == []


def test_memory_is_the_budget_or_what_is_in_flight_whichever_is_more(manifest):
    held = store(manifest, images=3)
    held.pixels([0, 1, 2])
    held.prefetch([4])
    assert held_bytes(held) == 3 * ONE_IMAGE
    held.prefetch([5, 6, 7, 3])
    assert held_bytes(held) == 5 * ONE_IMAGE
    held.pixels([4, 5])
    assert held_bytes(held) == 3 * ONE_IMAGE
    held.pixels([6, 7, 3])
    assert held_bytes(held) == 3 * ONE_IMAGE
    empty = store(manifest, images=0)
    empty.prefetch([0, 1])
    assert held_bytes(empty) == 2 * ONE_IMAGE
    empty.pixels([0, 1, 2])
    assert held_bytes(empty) == 0


def test_what_is_forgotten_is_not_held(manifest, reads):
    held = store(manifest, images=0)
    held.prefetch([0, 1])
    held.forget()
    assert held_bytes(held) == 0
    assert torch.equal(held.pixels([1]), expected(manifest, [1]))


def test_a_worker_error_is_raised_where_the_image_is_needed_and_is_not_remembered(manifest):
    path = manifest.root / "auk/1.png"
    whole = path.read_bytes()
    Image.new("RGB", (20, 16)).save(path)
    held = store(manifest)
    for indices in ([0, 2], [1, 3], [4, 5]):
        held.prefetch(indices)
    held.pixels([0, 2])
    with pytest.raises(UserInputError, match=r"auk/1\.png has changed since"):
        held.pixels([1, 3])
    held.pixels([4, 5])
    path.write_bytes(whole)
    assert torch.equal(held.pixels([1, 3]), expected(manifest, [1, 3]))


def test_of_several_errors_the_first_images_is_told_and_none_remains(manifest):
    originals = {}
    for name in ("2", "1"):
        path = manifest.root / f"auk/{name}.png"
        originals[path] = path.read_bytes()
        path.write_bytes(originals[path][:-40])
    held = store(manifest)
    held.prefetch([0, 1, 2])
    with pytest.raises(UserInputError, match=r"auk/2\.png"):
        held.pixels([2, 1, 0])
    for path, content in originals.items():
        path.write_bytes(content)
    assert torch.equal(held.pixels([2, 1, 0]), expected(manifest, [2, 1, 0]))


def test_a_damaged_file_that_the_manifest_lists_is_told_by_name(tmp_path):
    made_folders(tmp_path, ["auk", "emu", "jay", "owl"])
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "auk/1.jpg")
    (tmp_path / "auk/1.jpg").write_bytes((tmp_path / "auk/1.jpg").read_bytes()[:-2000])
    manifest = load_manifest(DatasetConfig(layout="folders", root=str(tmp_path)))
    held = store(manifest)
    held.prefetch([0, 1])
    held.pixels([0])
    with pytest.raises(ImageError, match=r"auk/1\.jpg: truncated or damaged"):
        held.pixels([1])


def threads() -> set[threading.Thread]:
    return {t for t in threading.enumerate() if t.name.startswith("saga-images")}


def test_the_threads_end_with_the_store_even_while_reads_are_queued(manifest, gate):
    before = threads()
    held = store(manifest, workers=2)
    held.pixels([0, 1, 2, 3])
    gate.clear()
    held.prefetch([4, 5, 6, 7])
    started = threads() - before
    assert 1 <= len(started) <= 2
    del held
    gc.collect()
    gate.set()
    for thread in started:
        thread.join(60)
        assert not thread.is_alive()


def test_several_threads_may_ask_at_once(manifest, reads):
    held = store(manifest, images=3, workers=3)
    rng = np.random.default_rng(0)
    batches = [rng.integers(0, 8, 4).tolist() for _ in range(60)]
    wanted = {i: expected(manifest, [i])[0] for i in range(8)}

    def ask(number: int) -> bool:
        held.prefetch(batches[(number + 1) % len(batches)])
        found = held.pixels(batches[number])
        return all(torch.equal(p, wanted[i]) for p, i in zip(found, batches[number]))

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(ask, range(len(batches))))
    for indices in batches:
        held.pixels(indices)
    assert held_bytes(held) <= 3 * ONE_IMAGE


@pytest.mark.parametrize(
    "setting",
    [{"workers": 0}, {"prefetch_batches": -1}, {"cache_gib": -0.1}, {"cache_gib": float("nan")}],
)
def test_impossible_settings_of_loading_are_refused(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        LoadingConfig(**setting)


@pytest.mark.parametrize("images", [0, 3, None])
def test_batches_drawn_ahead_and_taken_back_come_with_their_pixels(manifest, images):
    frame = manifest.training()
    pairs = mine_pairs(frame, MiningConfig(strategy="random", pairs=8), manifest.digest)
    labels, ids = frame["class_id"].tolist(), frame["image_id"].tolist()
    held = store(manifest, images)
    batches = LookAhead(PairGuidedSampler(labels, ids, pairs, 2, 2, 2, 0), held, 2)
    given = []
    for number in range(12):
        indices, _ = batches.next_batch()
        torch.testing.assert_close(
            held.pixels(indices), expected(manifest, indices), rtol=0, atol=0
        )
        given.append(indices)
        if number % 5 == 4:
            batches.rewind(2)
    assert given[5:7] == given[3:5] and given[10:12] == given[8:10]
