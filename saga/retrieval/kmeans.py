"""k-means as FAISS runs it, computing again only what an iteration moved.

The same start (k random images), the same rule for empty clusters and the same number of
iterations as `faiss.Kmeans` of one start: with the same seed it gives the same clusters, but for
what rounding moves. It differs in what it leaves out:

- Of the centroids that stayed where they were, an image knows the nearest, if that was its own: it
  compares itself with those that moved. The late iterations move few.
- Clusters that won and lost no image keep their centroid.
- When no centroid moves, the iterations left would change nothing.

On the CPU alone: sums on a GPU come in no fixed order, and a seed would not repeat. Memory beyond the
vectors, in bytes at most: 12·`AT_ONCE` (50 MB) + 28·k·E + 100·N, and the sample, 1,024·k·E, where
classes hold more than 256 images on average.

Shapes: N images, k clusters, E embedding width, R rows chosen among the images.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from saga.retrieval.precision import full_precision

AT_ONCE = 1 << 22
"""Scores, and numbers of copied vectors, at once."""
WORTH_CHOOSING = 0.6
"""Largest share of the images that is chosen out of all; of more, all are computed again."""
MOST_PER_CLUSTER = 256
"""Images a cluster that centroids are learnt from; of more, a random sample is drawn."""
SPLIT = 1 / 1024
"""Share by which the two halves of a split cluster are pushed apart."""
SPLIT_SEED = 1234
_WORDS = 2**32 - 1


def kmeans(vectors: np.ndarray, clusters: int, *, iterations: int, seed: int) -> np.ndarray:
    """Cluster vectors by Euclidean distance.

    Args:
        vectors: (N, E) float32.
        clusters: how many, at most N.
        iterations: at most this many.
        seed: of the sample and the first centroids.

    Returns:
        Cluster of each vector, (N,) int64.

    Raises:
        ValueError: if there are fewer vectors than clusters.
    """
    if not 1 <= clusters <= len(vectors):
        raise ValueError(f"clusters must be in [1, {len(vectors)}], got {clusters}")
    vectors_NE = torch.from_numpy(np.ascontiguousarray(vectors, np.float32))
    with torch.inference_mode(), full_precision("cpu"):
        learnt_NE = _sample(vectors_NE, clusters, seed)
        if len(learnt_NE) == clusters:
            return _nearest(vectors_NE, learnt_NE)[1].numpy()
        first_kE = learnt_NE[shuffled(len(learnt_NE), seed + 1)[:clusters]]
        state = _start(learnt_NE, first_kE)
        for _ in range(iterations):
            if not _iterate(state):
                break
        if learnt_NE is vectors_NE:
            return state.own_N.numpy()
        return _nearest(vectors_NE, state.centroids_kE)[1].numpy()


def shuffled(count: int, seed: int) -> Tensor:
    """The numbers below `count` in the order in which FAISS shuffles them."""
    order = list(range(count))
    for i, word in enumerate(_mersenne_twister(seed).random_raw(count - 1).tolist()):
        j = i + word % (count - i)
        order[i], order[j] = order[j], order[i]
    return torch.tensor(order)


def _mersenne_twister(seed: int) -> np.random.MT19937:
    """Seeded by one number, as C++ does it."""
    generator = np.random.MT19937()
    generator._legacy_seeding(seed)  # type: ignore[attr-defined]
    return generator


def _sample(vectors_NE: Tensor, clusters: int, seed: int) -> Tensor:
    most = clusters * MOST_PER_CLUSTER
    if len(vectors_NE) <= most:
        return vectors_NE
    return vectors_NE[shuffled(len(vectors_NE), seed)[:most]]


@dataclass(slots=True)
class _State:
    """Where the clustering stands; `own` and `score` are exact for `centroids`."""

    vectors_NE: Tensor
    centroids_kE: Tensor
    means_kE: Tensor
    """The centroids before empty clusters were filled."""
    own_N: Tensor
    """Cluster of each image."""
    score_N: Tensor
    """Of each image and its centroid c: x·c - |c|²/2, the largest over the centroids."""
    averaged_N: Tensor | None = None
    """`own_N` of which `means_kE` are the means."""


def _start(vectors_NE: Tensor, centroids_kE: Tensor) -> _State:
    score_N, own_N = _nearest(vectors_NE, centroids_kE)
    return _State(vectors_NE, centroids_kE, centroids_kE.clone(), own_N, score_N)


def _iterate(state: _State) -> bool:
    """Move the centroids, then the images; False when no centroid moved."""
    before_kE = state.centroids_kE
    counts_k = state.own_N.bincount(minlength=len(before_kE))
    _average(state, counts_k)
    state.centroids_kE = split_largest(state.means_kE, counts_k)
    moved_k = (state.centroids_kE != before_kE).any(dim=1)
    if not moved_k.any():
        return False
    affected_N = moved_k[state.own_N]
    if moved_k.all() or affected_N.sum() > len(affected_N) * WORTH_CHOOSING:
        state.score_N, state.own_N = _nearest(state.vectors_NE, state.centroids_kE)
        return True
    # The best of the centroids that stayed: known, but for images whose own is not among them.
    rows_R, stayed = affected_N.nonzero()[:, 0], (~moved_k).nonzero()[:, 0]
    score_R, which_R = _nearest(state.vectors_NE, state.centroids_kE[stayed], rows_R)
    state.score_N[rows_R], state.own_N[rows_R] = score_R, stayed[which_R]
    _compare(state, moved_k.nonzero()[:, 0])
    return True


def _average(state: _State, counts_k: Tensor) -> None:
    """Means of the clusters whose images are others than before."""
    changed_k = torch.ones(len(counts_k), dtype=torch.bool)
    if state.averaged_N is not None:
        changed_k[:] = False
        for own_N in (state.own_N, state.averaged_N):
            changed_k[own_N[state.own_N != state.averaged_N]] = True
    changed = changed_k.nonzero()[:, 0]
    sums = _sums(state.vectors_NE, state.own_N, counts_k.where(changed_k, 0))[changed]
    state.means_kE[changed] = sums * (1 / counts_k[changed, None].clamp(min=1))
    state.averaged_N = state.own_N.clone()


def _sums(vectors_NE: Tensor, own_N: Tensor, counts_k: Tensor) -> Tensor:
    """Sums (k, E) of each cluster's vectors in their order; 0 where its count is given as 0.

    A sparse product on one thread: adding row by row is memory's work, and a thread pool would meet
    at every row.
    """
    by_cluster = own_N.sort(stable=True).indices
    order = by_cluster[(counts_k > 0)[own_N[by_cluster]]].numpy()
    starts = np.concatenate([[0], counts_k.cumsum(dim=0).numpy()])
    ones = np.ones(len(order), np.float32)
    members = csr_matrix((ones, order, starts), shape=(len(counts_k), len(own_N)))
    return torch.from_numpy(members @ vectors_NE.numpy())


def split_largest(means_kE: Tensor, counts_k: Tensor) -> Tensor:
    """Centroids in which every empty cluster is one half of a large one.

    Which one is drawn by size, from a fixed seed: each cluster is asked in turn, from the first, and
    says yes with probability (images - 1) / (N - k).
    """
    centroids_kE, sizes = means_kE.clone(), counts_k.to(torch.float32).numpy().copy()
    spare = np.float32(counts_k.sum().item() - len(sizes))
    draws = _Draws(SPLIT_SEED)
    sign_E = 1 - 2 * (torch.arange(means_kE.shape[1]) % 2)
    for empty in np.flatnonzero(sizes == 0):
        chosen = draws.first_below((sizes - 1) / spare)
        centroids_kE[empty] = centroids_kE[chosen] * (1 + SPLIT * sign_E)
        centroids_kE[chosen] *= 1 - SPLIT * sign_E
        sizes[empty] = sizes[chosen] / 2
        sizes[chosen] -= sizes[empty]
    return centroids_kE


class _Draws:
    """Numbers in [0, 1] of one generator, none left out."""

    def __init__(self, seed: int) -> None:
        self._generator = _mersenne_twister(seed)
        self._left = np.empty(0, np.float32)

    def first_below(self, bounds: np.ndarray) -> int:
        """Position of the first bound that its draw is below, starting again after the last."""
        while True:
            missing = max(len(bounds) - len(self._left), 0)
            words = self._generator.random_raw(missing).astype(np.float32)
            self._left = np.concatenate([self._left, words / np.float32(_WORDS)])
            below = self._left[: len(bounds)] < bounds
            found = int(below.argmax())
            used = found + 1 if below[found] else len(bounds)
            self._left = self._left[used:]
            if below[found]:
                return found


def _compare(state: _State, moved: Tensor) -> None:
    """Whether a centroid that moved is nearer than the best of those that stayed."""
    score_N, which_N = _nearest(state.vectors_NE, state.centroids_kE[moved])
    tied_N = (score_N == state.score_N) & (moved[which_N] < state.own_N)
    nearer_N = (score_N > state.score_N) | tied_N
    state.score_N = torch.where(nearer_N, score_N, state.score_N)
    state.own_N = torch.where(nearer_N, moved[which_N], state.own_N)


def _nearest(
    vectors_NE: Tensor, centroids_kE: Tensor, rows_R: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Score and position of the centroid nearest to each row, of equally near ones the first."""
    half_k = centroids_kE.square().sum(dim=1) / 2
    N = len(vectors_NE) if rows_R is None else len(rows_R)
    score_N, own_N = torch.empty(N), torch.empty(N, dtype=torch.long)
    # One buffer for all parts: allocated anew for each, what is freed would lie about in pieces.
    scores_Rk = torch.empty(min(N, max(AT_ONCE // len(centroids_kE), 1)), len(centroids_kE))
    done = 0
    for part_RE in _parts(vectors_NE, len(centroids_kE), rows_R):
        R = len(part_RE)
        torch.addmm(half_k, part_RE, centroids_kE.T, beta=-1, out=scores_Rk[:R])
        found = slice(done, done + R)
        torch.max(scores_Rk[:R], 1, out=(score_N[found], own_N[found]))
        done += R
    return score_N, own_N


def _parts(vectors_NE: Tensor, k: int, rows_R: Tensor | None) -> Iterator[Tensor]:
    """Some rows or all, few enough for the memory of scores and copies."""
    if rows_R is None:
        yield from vectors_NE.split(max(AT_ONCE // k, 1))
        return
    for part_R in rows_R.split(max(AT_ONCE // max(k, vectors_NE.shape[1]), 1)):
        yield vectors_NE.index_select(0, part_R)
