"""Exact nearest neighbours in chunks: never the whole similarity matrix in memory.

The default backend is torch on unit float32 vectors (faster than FAISS' flat index on CPUs, same
ranks; half precision moves ranks, so it is not offered, and autocast and TF32 are switched off for
the search). FAISS is a backend too, on CPU or GPU.

Ties: of equal similarities (as float32 values) the lower gallery position comes first, so that a
result does not depend on the sort. FAISS itself decides which of several equal ones fill the last
rank. Equal vectors usually have equal similarities, but rounding in the matrix product may tell
them apart, and the split into chunks may move the last bit.

Shapes: n queries, m gallery, k neighbours, E embedding width, B queries of one chunk.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from saga.retrieval.configuration import Backend

if TYPE_CHECKING:
    from torch import Tensor

NORM_TOLERANCE = 1e-3
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
    queries, gallery = check_vectors("queries", queries), check_vectors("gallery", gallery)
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
        find = _torch_search(gallery, k, exclude_self, device)
    else:
        find = _faiss_search(index, k, exclude_self)
    for start in range(0, len(queries), chunk):
        rows = slice(start, min(start + chunk, len(queries)))
        yield rows, Neighbours(*find(queries[rows], start))


def check_vectors(name: str, vectors: np.ndarray) -> np.ndarray:
    """The vectors as contiguous float32.

    Raises:
        ValueError: if they are no non-empty (n, E) array, not finite or not of unit length.
    """
    vectors = np.ascontiguousarray(vectors, np.float32)
    if vectors.ndim != 2 or not vectors.size:
        raise ValueError(f"{name} must be a non-empty (n, E) array, got {vectors.shape}")
    finite = np.isfinite(vectors).all(1)
    if not finite.all():
        raise ValueError(
            f"{name}: {(~finite).sum()} of {len(vectors)} vectors hold NaN or infinite values, the "
            f"first at row {finite.argmin()}"
        )
    lengths = np.linalg.norm(vectors, axis=1)
    far = np.abs(lengths - 1).argmax()
    if abs(lengths[far] - 1) > NORM_TOLERANCE:
        raise ValueError(
            f"{name} must be of unit length; row {far} has length {lengths[far]:.4g}: "
            "normalise them first"
        )
    return vectors


def _torch_search(
    gallery: np.ndarray, k: int, exclude_self: bool, device: str | None
) -> ChunkSearch:
    import torch

    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    gallery_ME = torch.from_numpy(gallery).to(place)

    def find(queries: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode(), _full_precision(place.type):
            scores_BM = torch.from_numpy(queries).to(place) @ gallery_ME.T
            if exclude_self:
                own = torch.arange(len(queries), device=place)
                scores_BM[own, start + own] = -torch.inf
            values, indices = _largest(scores_BM, k)
        return indices.cpu().numpy(), values.cpu().numpy()

    return find


def _largest(scores_BM: "Tensor", k: int) -> tuple["Tensor", "Tensor"]:
    """The k largest of each row, of equal ones the lower position first."""
    values, indices = scores_BM.topk(k, dim=1)
    # topk promises no order among equals: sort by position, then stably by value.
    indices = indices.sort(dim=1).values
    values, order = scores_BM.gather(1, indices).sort(dim=1, descending=True, stable=True)
    indices = indices.gather(1, order)
    # Where more values equal the last one than fit, topk has chosen among them: sort the whole row.
    torn = (scores_BM >= values[:, -1:]).sum(dim=1) > k
    if torn.any():
        whole = scores_BM[torn].sort(dim=1, descending=True, stable=True)
        values[torn], indices[torn] = whole.values[:, :k], whole.indices[:, :k]
    return values, indices


@contextmanager
def _full_precision(kind: str) -> Iterator[None]:
    """Real float32 products, whatever the caller has set for training."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(kind, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


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
