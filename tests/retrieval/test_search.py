import logging
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saga.retrieval import search as module
from saga.retrieval.search import search, search_chunks
from tests.retrieval.made import naive_ranking, unit


@pytest.fixture
def vectors() -> np.ndarray:
    return unit(np.random.default_rng(0).normal(size=(83, 16)))


@pytest.mark.parametrize("backend", ["torch", "faiss"])
@pytest.mark.parametrize("chunk", [1, 10, 83, 1000])
def test_search_within_a_set_finds_what_a_full_sort_finds_whatever_the_chunk(
    vectors, backend, chunk
):
    near = search(vectors, vectors, 9, exclude_self=True, backend=backend, chunk=chunk)
    assert near.indices.dtype == np.int64 and near.similarities.dtype == np.float32
    for query in range(len(vectors)):
        assert near.indices[query].tolist() == naive_ranking(vectors, query)[:9]
    expected = np.take_along_axis(vectors @ vectors.T, near.indices, 1)
    np.testing.assert_allclose(near.similarities, expected, atol=1e-6)


def test_torch_and_faiss_agree_between_two_sets(vectors):
    queries, gallery = vectors[:20], vectors[20:]
    ours = search(queries, gallery, 63, chunk=7)
    theirs = search(queries, gallery, 63, backend="faiss", chunk=7)
    np.testing.assert_array_equal(ours.indices, theirs.indices)
    np.testing.assert_allclose(ours.similarities, theirs.similarities, atol=1e-6)


@pytest.mark.parametrize("k", [3, 17], ids=["by tiles", "by rows"])
def test_the_chunks_are_the_queries_in_order(vectors, k):
    found = list(search_chunks(vectors, vectors, k, exclude_self=True, chunk=20))
    assert [(r.start, r.stop) for r, _ in found] == [
        (0, 20),
        (20, 40),
        (40, 60),
        (60, 80),
        (80, 83),
    ]
    whole = search(vectors, vectors, k, exclude_self=True)
    np.testing.assert_array_equal(np.concatenate([n.indices for _, n in found]), whole.indices)


def test_few_neighbours_are_searched_for_by_tiles_and_many_by_rows(vectors, monkeypatch):
    from saga.retrieval import rows, tiles

    def refused(*_):
        raise AssertionError

    monkeypatch.setattr(rows, "search_rows", refused)
    search(vectors, vectors, module.FEW_NEIGHBOURS)
    monkeypatch.undo()
    monkeypatch.setattr(tiles, "search_tiles", refused)
    search(vectors, vectors, module.FEW_NEIGHBOURS + 1)


def test_equal_similarities_come_in_the_order_of_the_gallery():
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 0, 0, 1, 0]]
    near = search(vectors, vectors, 3, exclude_self=True)
    assert near.indices[0].tolist() == [1, 3, 4]  # five are equal, the last rank is torn
    assert near.indices[3].tolist() == [0, 1, 4]
    assert near.indices[2].tolist() == [5, 0, 1]  # then those at similarity 0, in order


@given(st.lists(st.integers(0, 3), min_size=2, max_size=30), st.data())
@settings(max_examples=60, deadline=None)
def test_ties_are_broken_by_position_in_any_set_of_repeated_vectors(kinds, data):
    vectors = np.eye(4, dtype=np.float32)[kinds]
    k = data.draw(st.integers(1, len(kinds) - 1))
    chunk = data.draw(st.integers(1, len(kinds)))
    near = search(vectors, vectors, k, exclude_self=True, chunk=chunk)
    for query in range(len(kinds)):
        assert near.indices[query].tolist() == naive_ranking(vectors, query)[:k]


@pytest.mark.parametrize("backend", ["torch", "faiss"])
def test_a_query_is_left_out_by_its_position_even_among_copies_of_itself(backend):
    vectors = np.tile(unit(np.ones((1, 5))), (30, 1))
    near = search(vectors, vectors, 4, exclude_self=True, backend=backend, chunk=11)
    own = np.arange(30)[:, None]
    assert (near.indices != own).all()
    assert all(len(set(row)) == 4 for row in near.indices.tolist())


def test_a_copy_of_a_query_counts_as_its_nearest_neighbour(vectors):
    doubled = np.concatenate([vectors, vectors])
    near = search(doubled, doubled, 1, exclude_self=True)
    assert near.indices[:, 0].tolist() == [*range(83, 166), *range(83)]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda v: v * 2, "row .* has length 2: normalise"),
        (lambda v: np.where(np.arange(83)[:, None] == 5, np.nan, v), "first at row 5"),
        (lambda v: np.where(np.arange(83)[:, None] == 6, np.inf, v), "first at row 6"),
        (lambda v: v[:0], "non-empty"),
        (lambda v: v[0], "non-empty"),
        (lambda v: np.zeros_like(v), "length 0"),
        (lambda v: v[:, :3] / np.linalg.norm(v[:, :3], axis=1, keepdims=True), "widths differ"),
    ],
)
def test_vectors_that_cannot_be_compared_are_refused(vectors, broken, message):
    with pytest.raises(ValueError, match=message):
        search(broken(vectors), vectors, 1)


@pytest.mark.parametrize(("k", "own"), [(0, False), (84, False), (83, True)])
def test_a_k_that_the_gallery_cannot_fill_is_refused(vectors, k, own):
    with pytest.raises(ValueError, match="k must be in"):
        search(vectors, vectors, k, exclude_self=own)


def test_leaving_oneself_out_of_another_set_is_refused(vectors):
    with pytest.raises(ValueError, match="two sets"):
        search(vectors[:5], vectors, 1, exclude_self=True)


def test_search_stays_in_float32_inside_autocast_and_under_lower_matmul_precision(vectors):
    expected = search(vectors, vectors, 8)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", torch.bfloat16):
            found = search(vectors, vectors, 8)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    np.testing.assert_array_equal(found.similarities, expected.similarities)
    assert found.similarities.dtype == np.float32


def test_without_faiss_torch_searches_and_a_warning_says_so(vectors, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with caplog.at_level(logging.WARNING):
        near = search(vectors, vectors, 3, backend="faiss")
    assert "faiss cannot be used" in caplog.text and "torch" in caplog.text
    np.testing.assert_array_equal(near.indices, search(vectors, vectors, 3).indices)


def test_faiss_gpu_without_a_gpu_uses_the_cpu_index_and_a_warning_says_so(
    vectors, monkeypatch, caplog
):
    faiss = pytest.importorskip("faiss")
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    with caplog.at_level(logging.WARNING):
        near = search(vectors, vectors, 3, backend="faiss-gpu")
    assert "no GPU" in caplog.text
    np.testing.assert_array_equal(near.indices, search(vectors, vectors, 3).indices)


def test_a_faiss_that_returns_an_empty_index_is_an_error_not_an_empty_result(vectors, monkeypatch):
    class Index:
        ntotal = 0

        def __init__(self, width):
            pass

        def add(self, vectors):
            pass

    monkeypatch.setitem(sys.modules, "faiss", SimpleNamespace(IndexFlatIP=Index))
    with pytest.raises(RuntimeError, match="holds 0 of 83"):
        search(vectors, vectors, 3, backend="faiss")


def test_faiss_gpu_keeps_its_resources_alive_as_long_as_its_index(vectors, monkeypatch):
    faiss = pytest.importorskip("faiss")
    made = []

    class Resources:
        pass

    def to_gpu(resources, device, index):
        made.append((resources, device))
        return index

    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(faiss, "StandardGpuResources", Resources, raising=False)
    monkeypatch.setattr(faiss, "index_cpu_to_gpu", to_gpu, raising=False)
    held = module._faiss_index(vectors, "faiss-gpu")
    assert held.resources is made[0][0] and made[0][1] == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_finds_what_the_cpu_finds(vectors):
    on_gpu = search(vectors, vectors, 8, exclude_self=True, device="cuda")
    on_cpu = search(vectors, vectors, 8, exclude_self=True, device="cpu")
    np.testing.assert_array_equal(on_gpu.indices, on_cpu.indices)
