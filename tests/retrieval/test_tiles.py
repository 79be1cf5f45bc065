import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saga.retrieval import tiles
from saga.retrieval.rows import search_rows
from saga.retrieval.tiles import search_tiles

SEARCHES = [search_tiles, search_rows]


def exact_vectors(count: int, seed: int) -> torch.Tensor:
    """Unit vectors of four halves: their products are exact in any order, and most are equal."""
    rng = np.random.default_rng(seed)
    vectors = np.zeros((count, 8), np.float32)
    for row in vectors:
        row[rng.choice(8, 4, replace=False)] = rng.choice([-0.5, 0.5], 4)
    return torch.from_numpy(vectors)


def sort_whole(
    queries: torch.Tensor, gallery: torch.Tensor, k: int, exclude_self: bool
) -> tuple[list, list]:
    scores = queries.double() @ gallery.double().T
    if exclude_self:
        scores.fill_diagonal_(-torch.inf)
    found = scores.sort(dim=1, descending=True, stable=True)
    return found.values[:, :k].tolist(), found.indices[:, :k].tolist()


@pytest.mark.parametrize("search", SEARCHES)
@given(
    count=st.integers(2, 50),
    others=st.none() | st.integers(1, 50),
    chunk=st.integers(1, 60),
    width=st.integers(1, 60),
    exclude_self=st.booleans(),
    seed=st.integers(0, 10**6),
    data=st.data(),
)
@settings(max_examples=100, deadline=None)
def test_every_split_finds_what_sorting_the_whole_matrix_finds(
    search, count, others, chunk, width, exclude_self, seed, data
):
    gallery = exact_vectors(count, seed)
    queries = gallery if others is None else exact_vectors(others, seed + 1)
    exclude_self &= others is None or others == count
    k = data.draw(st.integers(1, count - exclude_self))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "WIDTH", width)
        found = [best for _, best in search(queries, gallery, k, exclude_self, chunk)]
    values = torch.cat([b.values_Qk for b in found]).tolist()
    positions = torch.cat([b.positions_Qk for b in found]).tolist()
    assert (values, positions) == sort_whole(queries, gallery, k, exclude_self)


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("chunk", [1, 10, 64, 1000])
def test_two_arrays_of_one_set_give_what_the_same_array_gives(search, chunk, monkeypatch):
    monkeypatch.setattr(tiles, "WIDTH", 30)
    vectors = torch.nn.functional.normalize(torch.randn(83, 32, generator=torch.manual_seed(0)))
    alone = list(search(vectors, vectors, 5, True, chunk))
    apart = list(search(vectors.clone(), vectors, 5, True, chunk))
    assert [rows for rows, _ in alone] == [rows for rows, _ in apart]
    for (_, one), (_, other) in zip(alone, apart):
        assert one.positions_Qk.tolist() == other.positions_Qk.tolist()
        torch.testing.assert_close(one.values_Qk, other.values_Qk, rtol=0, atol=1e-6)


def test_within_one_set_only_the_chunks_on_the_diagonal_are_computed_twice(monkeypatch):
    computed, product = [], tiles._product

    def noted(queries, gallery, tile):
        computed.append((len(queries), len(gallery)))
        return product(queries, gallery, tile)

    monkeypatch.setattr(tiles, "_product", noted)
    monkeypatch.setattr(tiles, "WIDTH", 30)
    vectors = exact_vectors(83, 0)
    list(search_tiles(vectors, vectors, 3, True, 20))
    assert sum(rows * columns for rows, columns in computed) == 20 * (83 + 63 + 43 + 23) + 3 * 3
    assert max(columns for _, columns in computed) == 30


MEASURED = """
import sys
import numpy as np
from saga.retrieval.search import search

def peak():
    status = open("/proc/self/status").read()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])

n, chunk, k, tied = map(int, sys.argv[1:])
vectors = np.random.default_rng(0).standard_normal((n, 72), np.float32)
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
if tied:
    vectors[:] = np.eye(72, dtype=np.float32)[0]
search(vectors[:3000], vectors[:3000], k, exclude_self=True, chunk=64)
before = peak()
search(vectors, vectors, k, exclude_self=True, chunk=chunk)
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's peak memory")
@pytest.mark.parametrize("tied", [0, 1], ids=["different", "all equal"])
@pytest.mark.parametrize(("k", "by_tiles"), [(8, True), (40, False)], ids=["by tiles", "by rows"])
def test_a_search_stays_within_the_memory_that_its_docstring_states(k, by_tiles, tied):
    n, chunk = 12_000, 512
    ran = subprocess.run(
        [sys.executable, "-c", MEASURED, *map(str, (n, chunk, k, tied))],
        capture_output=True,
        text=True,
        check=True,
    )
    largest = 12 * chunk * 2048 + 12 * k * n if by_tiles else 4 * chunk * n + 60 * k * chunk
    stated = largest + 24 * 2**17 + 24 * k * n
    assert int(ran.stdout) < stated + 2**22 < 4 * n * n / 4  # of one similarity matrix
