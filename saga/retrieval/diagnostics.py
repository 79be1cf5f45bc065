"""Is the embedding space healthy? A collapsed one shows here, whatever its recall.

Shapes: n images, E embedding width, C classes.
"""

import numpy as np

SPECTRUM_ROWS = 2048
"""Most images (evenly spaced) behind the effective rank; bounds its time."""


def embedding_diagnostics(embeddings: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Spread, mean similarities and effective rank.

    Args:
        embeddings: unit vectors (n, E), n ≥ 2.
        labels: class of each, (n,).

    Returns:
        `mean_similarity` over all pairs of different images, `spread` = 1 - that, `similarity_same`
        and `similarity_different` over pairs of one class and of two (0 where there is none),
        `effective_rank` (exp of the entropy of the covariance's normalised eigenvalues; 1 for a
        single direction, at most E) and `effective_rank_images`, the images behind it.
    """
    n = len(embeddings)
    classes, members = np.unique(labels, return_inverse=True)
    sums_CE = np.zeros((len(classes), embeddings.shape[1]))
    np.add.at(sums_CE, members, embeddings)
    own = float(np.einsum("ne,ne->", embeddings, embeddings, dtype=np.float64))
    counts = np.bincount(members).astype(float)
    total = sums_CE.sum(0)
    all_pairs, same_pairs = n * (n - 1), float((counts * (counts - 1)).sum())
    all_sum = float(total @ total) - own
    same_sum = float((sums_CE**2).sum()) - own
    different = (all_sum - same_sum) / (all_pairs - same_pairs) if len(classes) > 1 else 0.0
    rank, rows = _effective_rank(embeddings)
    return {
        "mean_similarity": all_sum / all_pairs,
        "spread": 1 - all_sum / all_pairs,
        "similarity_same": same_sum / same_pairs if same_pairs else 0.0,
        "similarity_different": different,
        "effective_rank": rank,
        "effective_rank_images": rows,
    }


def _effective_rank(embeddings: np.ndarray) -> tuple[float, int]:
    """From the smaller of covariance and Gram matrix: they share their eigenvalues."""
    n = len(embeddings)
    rows = np.unique(np.linspace(0, n - 1, min(n, SPECTRUM_ROWS)).round().astype(int))
    X = embeddings[rows].astype(np.float64)
    X -= X.mean(0)
    values = np.linalg.eigvalsh(X @ X.T if X.shape[0] < X.shape[1] else X.T @ X)
    values = values[values > 1e-10 * len(rows)]
    if not len(values):
        return 1.0, len(rows)  # all embeddings are equal
    shares = values / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum())), len(rows)
