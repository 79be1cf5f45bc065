"""Normalised mutual information of a k-means clustering with the classes.

It moves by several points with the seed and is high for random clusters when classes are many and
small: reported with its seed, never gated on.
"""

import numpy as np

ITERATIONS = 20
CLUSTERER = "k-means as FAISS runs it"


def normalized_mutual_information(embeddings: np.ndarray, labels: np.ndarray, seed: int) -> float:
    """NMI of k-means clusters; k = number of classes.

    By the k-means of `saga.retrieval.kmeans`, which with the same seed gives the clusters that
    pytorch-metric-learning's AccuracyCalculator has from FAISS (20 iterations, one start), but for
    what rounding moves; arithmetic mean in the denominator.

    Args:
        embeddings: (n, E).
        labels: class of each, (n,).
        seed: of the k-means.

    Returns:
        NMI in [0, 1].
    """
    from sklearn.metrics import normalized_mutual_info_score

    from saga.retrieval.kmeans import kmeans

    classes = len(np.unique(labels))
    clusters = kmeans(embeddings, classes, iterations=ITERATIONS, seed=seed)
    return float(normalized_mutual_info_score(labels, clusters))
