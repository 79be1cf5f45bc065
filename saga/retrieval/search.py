"""Exact nearest neighbours in chunks: never the whole similarity matrix in memory.

The default backend is torch on unit float32 vectors (faster than FAISS' flat index on CPUs, same ranks;
half precision moves ranks and is not offered). FAISS is a backend too, on CPU or GPU.

Shapes: n queries, m gallery, k neighbours, E embedding width.
"""

import logging
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

Backend = Literal["torch", "faiss", "faiss-gpu"]
NORM_TOLERANCE = 1e-3
logger = logging.getLogger(__name__)


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
) -> Neighbours:
    """Exact search by cosine similarity.

    Args:
        queries: unit vectors (n, E).
        gallery: unit vectors (m, E).
        k: neighbours wanted.
        exclude_self: leave out position i of the gallery for query i (they are the same set).
        backend: "torch" (on a GPU when there is one), "faiss" or "faiss-gpu"; where FAISS cannot be
            used, torch is, and a warning says so.
        chunk: queries at once.

    Raises:
        ValueError: if vectors are not finite or not of unit length, widths differ, or k is too large.
    """
    queries, gallery = _checked("queries", queries), _checked("gallery", gallery)
    if queries.shape[1] != gallery.shape[1]:
        raise ValueError(f"widths differ: {queries.shape[1]} and {gallery.shape[1]}")
    if not 1 <= k <= len(gallery) - exclude_self:
        raise ValueError(f"k must be in [1, {len(gallery) - exclude_self}], got {k}")
    wanted = k + exclude_self
    index = _faiss_index(gallery, backend) if backend != "torch" else None
    if index is None:
        indices, similarities = _torch_search(queries, gallery, k, exclude_self, chunk)
        return Neighbours(indices, similarities)
    found = [index.search(queries[i : i + chunk], wanted) for i in range(0, len(queries), chunk)]
    similarities = np.concatenate([s for s, _ in found])
    indices = np.concatenate([i for _, i in found])
    if exclude_self:
        indices, similarities = _without_self(indices, similarities)
    return Neighbours(indices.astype(np.int64), similarities)


def _checked(name: str, vectors: np.ndarray) -> np.ndarray:
    vectors = np.ascontiguousarray(vectors, np.float32)
    if vectors.ndim != 2 or not len(vectors):
        raise ValueError(f"{name} must be a non-empty (n, E) array, got {vectors.shape}")
    if not np.isfinite(vectors).all():
        raise ValueError(f"{name} hold values that are not finite")
    if np.abs(np.linalg.norm(vectors, axis=1) - 1).max() > NORM_TOLERANCE:
        raise ValueError(f"{name} must be of unit length; normalise them first")
    return vectors


def _torch_search(
    queries: np.ndarray, gallery: np.ndarray, k: int, exclude_self: bool, chunk: int
) -> tuple[np.ndarray, np.ndarray]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    gallery_ME = torch.from_numpy(gallery).to(device)
    indices, similarities = [], []
    for start in range(0, len(queries), chunk):
        rows = torch.from_numpy(queries[start : start + chunk]).to(device)
        scores = rows @ gallery_ME.T
        if exclude_self:
            own = torch.arange(len(rows), device=device)
            scores[own, start + own] = -torch.inf
        top = scores.topk(k, dim=1)
        indices.append(top.indices.cpu().numpy())
        similarities.append(top.values.cpu().numpy())
    return np.concatenate(indices), np.concatenate(similarities)


def _without_self(indices: np.ndarray, similarities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Drop each query's own position; where duplicates pushed it out, the last neighbour."""
    own = indices == np.arange(len(indices))[:, None]
    own[~own.any(1), -1] = True
    kept = ~own
    shape = (len(indices), indices.shape[1] - 1)
    return indices[kept].reshape(shape), similarities[kept].reshape(shape)


def _faiss_index(gallery: np.ndarray, backend: Backend) -> Any | None:
    """A flat inner-product index, or None with a warning where FAISS cannot be used."""
    try:
        import faiss
    except ImportError:
        logger.warning("faiss is not installed: exact torch search is used instead")
        return None
    index = faiss.IndexFlatIP(gallery.shape[1])
    if backend == "faiss-gpu":
        # Without a GPU some builds return an empty index without saying so: ask first.
        if faiss.get_num_gpus() > 0 and hasattr(faiss, "StandardGpuResources"):
            resources = faiss.StandardGpuResources()
            index = faiss.index_cpu_to_gpu(resources, 0, index)
            index.saga_resources = resources  # must outlive the index
        else:
            logger.warning("faiss sees no GPU: its CPU index is used instead")
    index.add(gallery)
    return index
