"""Normalised mutual information of a k-means clustering with the classes.

It moves by several points with the seed and is high for random clusters when classes are many and
small: reported with its seed, never gated on.
"""

import logging

import numpy as np

ITERATIONS = 20
logger = logging.getLogger(__name__)


def normalized_mutual_information(
    embeddings: np.ndarray, labels: np.ndarray, seed: int
) -> tuple[float, str]:
    """NMI and which k-means it rests on; k = number of classes.

    FAISS' k-means, exactly as pytorch-metric-learning's AccuracyCalculator runs it (20 iterations,
    one start, arithmetic mean in the denominator), or scikit-learn's where FAISS is not installed;
    the two differ by what different seeds differ by.

    Args:
        embeddings: (n, E).
        labels: class of each, (n,).
        seed: of the k-means.

    Returns:
        NMI in [0, 1], and "faiss" or "scikit-learn".
    """
    from sklearn.metrics import normalized_mutual_info_score

    vectors = np.ascontiguousarray(embeddings, np.float32)
    k = len(np.unique(labels))
    clusters, clusterer = _clusters(vectors, k, seed)
    return float(normalized_mutual_info_score(labels, clusters)), clusterer


def _clusters(vectors: np.ndarray, k: int, seed: int) -> tuple[np.ndarray, str]:
    try:
        import faiss
    except ImportError as error:
        from sklearn.cluster import KMeans

        logger.warning("faiss cannot be used (%s): NMI rests on scikit-learn's k-means", error)
        kmeans = KMeans(k, n_init=1, max_iter=ITERATIONS, random_state=seed)
        return kmeans.fit_predict(vectors), "scikit-learn"
    # min_points_per_centroid only silences a message on standard error.
    trained = faiss.Kmeans(
        vectors.shape[1], k, niter=ITERATIONS, seed=seed, min_points_per_centroid=1, gpu=False
    )
    trained.train(vectors)
    return trained.index.search(vectors, 1)[1][:, 0], "faiss"
