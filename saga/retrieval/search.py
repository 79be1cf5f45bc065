"""Exact nearest neighbours in chunks: never the whole similarity matrix in memory.

The default backend is torch on unit float32 vectors (faster than FAISS' flat index on CPUs, same
ranks; half precision moves ranks, so it is not offered, and autocast and TF32 are switched off for
the search). FAISS is a backend too, on CPU or GPU. On the CPU and for few neighbours the matrix is
computed tile by tile, and within one set only half of it (`saga.retrieval.tiles`); on a GPU, or
for many neighbours, by rows.

Ties: of equal similarities (as float32 values) the lower gallery position comes first, so that a
result does not depend on the sort. FAISS itself decides which of several equal ones fill the last
rank. Equal vectors usually have equal similarities, but rounding in the matrix product may tell
them apart, and the split into chunks may move the last bit.

Memory of `search_chunks` with torch, beyond queries and gallery, in bytes at most:

- by tiles: 12·B·W + 12·k·m within one set and 12·B·W + 12·k·B otherwise, W = max(B, 2048);
- by rows: 4·B·m + 60·k·B;

and 24·max(m, 2^17) where equal values compete for the last rank. `search` takes 24·k·n more to put
its result together. With the default chunk of 1,024 and k = 8, a set of 37,000 takes 36 MB,
whatever its width; its whole similarity matrix would take 5.5 GB.

Shapes: n queries, m gallery, k neighbours, E embedding width, B queries of one chunk.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from saga.retrieval.configuration import Backend

NORM_TOLERANCE = 1e-3
CHECKED_AT_ONCE = 1024
FEW_NEIGHBOURS = 16
"""Searched for by tiles whatever the embedding width."""
WIDTH_PER_NEIGHBOUR = 8
"""Up to one neighbour in so many dimensions, tiles are faster than rows: the products they save
outweigh the sorting."""
logger = logging.getLogger(__name__)

ChunkSearch = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]
"""Queries of one chunk and the position of the first one -> indices and similarities, (B, k)."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The k nearest gallery vectors of each query, nearest first."""

    indices: np.ndarray
    """(n, k) int64."""
    similarities: np.ndarray
    """(n, k) float32 cosine similarities."""


def search(
    queries: np.ndarray,
    gallery: np.ndarray,
    k: int,
    *,
    exclude_self: bool = False,
    backend: Backend = "torch",
    chunk: int = 1024,
    device: str | None = None,
) -> Neighbours:
    """Exact search by cosine similarity.

    Args:
        queries: unit vectors (n, E).
        gallery: unit vectors (m, E).
        k: neighbours wanted.
        exclude_self: leave out position i of the gallery for query i (they are the same set).
        backend: "torch", "faiss" or "faiss-gpu"; where FAISS cannot be used, torch or FAISS' CPU
            index is, and a warning says so.
        chunk: queries at once.
        device: of the torch backend; None takes a GPU when there is one.

    Raises:
        ValueError: if vectors are not finite or not of unit length, widths differ, or k is too
            large.
    """
    parts = [
        near
        for _, near in search_chunks(
            queries,
            gallery,
            k,
            exclude_self=exclude_self,
            backend=backend,
            chunk=chunk,
            device=device,
        )
    ]
    return Neighbours(
        np.concatenate([p.indices for p in parts]), np.concatenate([p.similarities for p in parts])
    )


def search_chunks(
    queries: np.ndarray,
    gallery: np.ndarray,
    k: int,
    *,
    exclude_self: bool = False,
    backend: Backend = "torch",
    chunk: int = 1024,
    device: str | None = None,
) -> Iterator[tuple[slice, Neighbours]]:
    """`search`, chunk by chunk: the rows of the queries, and their neighbours.

    For callers that need many neighbours of each query, but only to sum them up.
    """
    one_set = queries is gallery
    queries = check_vectors("queries", queries)
    gallery = queries if one_set else check_vectors("gallery", gallery)
    if queries.shape[1] != gallery.shape[1]:
        raise ValueError(f"widths differ: {queries.shape[1]} and {gallery.shape[1]}")
    if exclude_self and len(queries) != len(gallery):
        raise ValueError(f"{len(queries)} queries and {len(gallery)} in the gallery are two sets")
    if not 1 <= k <= len(gallery) - exclude_self:
        raise ValueError(f"k must be in [1, {len(gallery) - exclude_self}], got {k}")
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    index = _faiss_index(gallery, backend) if backend != "torch" else None
    if index is None:
        yield from _torch_search(queries, gallery, k, exclude_self, chunk, device)
        return
    find = _faiss_search(index, k, exclude_self)
    for rows in _chunks(len(queries), chunk):
        yield rows, Neighbours(*find(queries[rows], rows.start))


def _chunks(count: int, chunk: int) -> Iterator[slice]:
    for start in range(0, count, chunk):
        yield slice(start, min(start + chunk, count))


def check_vectors(name: str, vectors: np.ndarray) -> np.ndarray:
    """The vectors as contiguous float32.

    Raises:
        ValueError: if they are no non-empty (n, E) array, not finite or not of unit length.
    """
    vectors = np.ascontiguousarray(vectors, np.float32)
    if vectors.ndim != 2 or not vectors.size:
        raise ValueError(f"{name} must be a non-empty (n, E) array, got {vectors.shape}")
    lengths = np.concatenate(
        [_lengths(vectors[rows]) for rows in _chunks(len(vectors), CHECKED_AT_ONCE)]
    )
    finite = np.isfinite(lengths)
    if not finite.all():
        raise ValueError(
            f"{name}: {(~finite).sum()} of {len(vectors)} vectors hold NaN or infinite values, the "
            f"first at row {finite.argmin()}"
        )
    far = np.abs(lengths - 1).argmax()
    if abs(lengths[far] - 1) > NORM_TOLERANCE:
        raise ValueError(
            f"{name} must be of unit length; row {far} has length {lengths[far]:.4g}: "
            "normalise them first"
        )
    return vectors


def _lengths(vectors: np.ndarray) -> np.ndarray:
    """In float64, in which the square of a float32 does not overflow."""
    import torch

    lengths: np.ndarray = torch.linalg.vector_norm(
        torch.from_numpy(vectors), dim=1, dtype=torch.float64
    ).numpy()
    return lengths


def _torch_search(
    queries: np.ndarray,
    gallery: np.ndarray,
    k: int,
    exclude_self: bool,
    chunk: int,
    device: str | None,
) -> Iterator[tuple[slice, Neighbours]]:
    import torch

    from saga.retrieval.rows import search_rows
    from saga.retrieval.tiles import search_tiles

    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    gallery_ME = torch.from_numpy(gallery).to(place)
    queries_QE = gallery_ME if queries is gallery else torch.from_numpy(queries)
    few = k <= max(FEW_NEIGHBOURS, gallery.shape[1] // WIDTH_PER_NEIGHBOUR)
    find = search_tiles if few and place.type == "cpu" else search_rows
    for rows, best in find(queries_QE, gallery_ME, k, exclude_self, chunk):
        yield rows, Neighbours(best.positions_Qk.cpu().numpy(), best.values_Qk.cpu().numpy())


def _faiss_search(held: "_FaissIndex", k: int, exclude_self: bool) -> ChunkSearch:
    def find(queries: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
        similarities, indices = held.index.search(queries, k + exclude_self)
        if exclude_self:
            indices, similarities = _without_self(indices, similarities, start)
        order = np.lexsort((indices, -similarities), axis=1)
        return (
            np.take_along_axis(indices, order, 1).astype(np.int64),
            np.take_along_axis(similarities, order, 1),
        )

    return find


def _without_self(
    indices: np.ndarray, similarities: np.ndarray, start: int
) -> tuple[np.ndarray, np.ndarray]:
    """Drop each query's own position; where duplicates pushed it out, the last neighbour."""
    own = indices == np.arange(start, start + len(indices))[:, None]
    own[~own.any(1), -1] = True
    shape = (len(indices), indices.shape[1] - 1)
    return indices[~own].reshape(shape), similarities[~own].reshape(shape)


@dataclass(frozen=True, slots=True)
class _FaissIndex:
    index: Any
    resources: Any = None
    """Of a GPU index, which crashes when they go before it does."""


def _faiss_index(gallery: np.ndarray, backend: Backend) -> _FaissIndex | None:
    """A flat inner-product index, or None with a warning where FAISS cannot be used."""
    try:
        import faiss
    except ImportError as error:  # faiss-gpu raises it too where its CUDA libraries are missing
        logger.warning("faiss cannot be used (%s): exact torch search is used instead", error)
        return None
    index: Any = faiss.IndexFlatIP(gallery.shape[1])
    resources = None
    if backend == "faiss-gpu":
        # Without a GPU some builds return an empty index without saying so: ask first.
        if faiss.get_num_gpus() > 0 and hasattr(faiss, "StandardGpuResources"):
            resources = faiss.StandardGpuResources()
            index = faiss.index_cpu_to_gpu(resources, 0, index)
        else:
            logger.warning("faiss sees no GPU: its CPU index is used instead")
    index.add(gallery)
    if index.ntotal != len(gallery):
        raise RuntimeError(f"the faiss index holds {index.ntotal} of {len(gallery)} vectors")
    return _FaissIndex(index, resources)
