import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from saga.retrieval import kmeans as module
from saga.retrieval.kmeans import kmeans, shuffled, split_largest
from tests.retrieval.made import unit


def made(count: int, width: int, per_class: int, noise: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = unit(rng.normal(size=(max(count // per_class, 1), width)))
    noises = noise / np.sqrt(width) * rng.normal(size=(count, width))
    return unit(centres[np.arange(count) % len(centres)] + noises)


def with_faiss(vectors: np.ndarray, clusters: int, iterations: int, seed: int) -> np.ndarray:
    faiss = pytest.importorskip("faiss")
    settings = {"niter": iterations, "seed": seed, "min_points_per_centroid": 1, "gpu": False}
    trained = faiss.Kmeans(vectors.shape[1], clusters, **settings)
    trained.train(vectors)
    return trained.index.search(vectors, 1)[1][:, 0]


def plain(vectors: np.ndarray, clusters: int, iterations: int, seed: int) -> np.ndarray:
    """Lloyd's iterations with every distance computed every time, in float64."""
    order = shuffled(len(vectors), seed + 1).numpy()
    points = vectors.astype(np.float64)
    centroids = points[order[:clusters]]
    for _ in range(iterations):
        own = ((points[:, None] - centroids[None]) ** 2).sum(2).argmin(1)
        assert len(set(own)) == clusters  # none is empty: nothing to split
        centroids = np.stack([points[own == c].mean(0) for c in range(clusters)])
    return ((points[:, None] - centroids[None]) ** 2).sum(2).argmin(1)


@pytest.mark.parametrize("iterations", [0, 1, 3, 20])
@pytest.mark.parametrize("worth_choosing", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("at_once", [1, 200, 1 << 22])
def test_what_is_left_out_changes_nothing(iterations, worth_choosing, at_once, monkeypatch):
    monkeypatch.setattr(module, "WORTH_CHOOSING", worth_choosing)
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    vectors = made(300, 24, 20, noise=1.5)
    found = kmeans(vectors, 15, iterations=iterations, seed=3)
    np.testing.assert_array_equal(found, plain(vectors, 15, iterations, 3))


@pytest.mark.parametrize("seed", [0, 1, 1234])
@pytest.mark.parametrize(
    ("count", "width", "per_class", "noise"),
    [(600, 64, 20, 1.0), (700, 16, 2, 3.0), (400, 64, 8, 0.2), (900, 8, 300, 1.0)],
    ids=["clear", "two a class", "with empty clusters", "sampled"],
)
def test_the_clusters_are_those_of_faiss(count, width, per_class, noise, seed):
    vectors, clusters = made(count, width, per_class, noise), count // per_class
    found = kmeans(vectors, clusters, iterations=20, seed=seed)
    np.testing.assert_array_equal(found, with_faiss(vectors, clusters, 20, seed))


def test_those_cases_do_hold_empty_clusters(monkeypatch):
    empty = []
    split = module.split_largest

    def noted(means, counts):
        empty.append(int((counts == 0).sum()))
        return split(means, counts)

    monkeypatch.setattr(module, "split_largest", noted)
    kmeans(made(400, 64, 8, 0.2), 50, iterations=20, seed=0)
    assert sum(empty) > 0


def test_the_late_iterations_compare_few_images(monkeypatch):
    compared = []
    addmm = torch.addmm

    def noted(bias, rows, columns, **settings):
        compared.append(rows.shape[0] * columns.shape[1])
        return addmm(bias, rows, columns, **settings)

    monkeypatch.setattr(torch, "addmm", noted)
    kmeans(made(600, 64, 20, 1.0), 30, iterations=20, seed=0)
    assert sum(compared) < 21 * 600 * 30 / 2


def test_as_many_clusters_as_vectors_hold_one_each():
    found = kmeans(made(30, 16, 3, 1.0), 30, iterations=20, seed=0)
    assert sorted(found) == list(range(30))


def test_equal_vectors_end_in_valid_clusters_that_repeat():
    vectors = np.tile(unit(np.ones((1, 6))), (90, 1))
    found = kmeans(vectors, 9, iterations=20, seed=0)
    assert set(found) <= set(range(9))
    np.testing.assert_array_equal(found, kmeans(vectors, 9, iterations=20, seed=0))


def test_an_empty_cluster_becomes_half_of_the_only_one_that_can_be_split():
    means = torch.tensor([[1.0, 1.0], [0.0, 0.0], [4.0, 8.0]])
    split = split_largest(means, torch.tensor([1, 0, 9]))
    assert split[0].tolist() == [1, 1]
    assert split[1].tolist() == [4 * (1 + 1 / 1024), 8 * (1 - 1 / 1024)]
    assert split[2].tolist() == [4 * (1 - 1 / 1024), 8 * (1 + 1 / 1024)]
    assert means[1].tolist() == [0, 0]


@pytest.mark.parametrize("clusters", [0, 4])
def test_more_clusters_than_vectors_are_refused(clusters):
    with pytest.raises(ValueError, match=r"clusters must be in \[1, 3\]"):
        kmeans(np.eye(3, dtype=np.float32), clusters, iterations=5, seed=0)


def test_the_caller_s_precision_changes_nothing():
    vectors = made(300, 24, 20, noise=1.5)
    expected = kmeans(vectors, 15, iterations=5, seed=0)
    with torch.autocast("cpu", torch.bfloat16):
        np.testing.assert_array_equal(kmeans(vectors, 15, iterations=5, seed=0), expected)


MEASURED = """
import numpy as np
from saga.retrieval.kmeans import kmeans

def peak():
    status = open("/proc/self/status").read()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])

vectors = np.random.default_rng(0).standard_normal((20_000, 256), np.float32)
kmeans(vectors[:3000], 50, iterations=3, seed=0)
before = peak()
kmeans(vectors, 1000, iterations=8, seed=0)
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's peak memory")
def test_kmeans_stays_within_the_memory_that_its_docstring_states():
    ran = subprocess.run(
        [sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True
    )
    stated = 12 * module.AT_ONCE + 28 * 1000 * 256 + 100 * 20_000
    assert int(ran.stdout) < stated < 4 * 20_000 * 1000
