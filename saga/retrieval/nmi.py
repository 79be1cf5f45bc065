"""Normalised mutual information of a k-means clustering with the classes.

It moves by several points with the seed and is high for random clusters when classes are many and small:
reported with its seed, never gated on.
"""

import numpy as np
from sklearn.metrics import normalized_mutual_info_score

ITERATIONS = 20


def normalized_mutual_information(
    embeddings: np.ndarray, labels: np.ndarray, seed: int
) -> tuple[float, str]:
    """NMI in [0, 1], k = number of classes, and the k-means that was used.

    FAISS' k-means as pytorch-metric-learning runs it where FAISS is installed, else scikit-learn's.
    """
    k = len(np.unique(labels))
    vectors = np.ascontiguousarray(embeddings, np.float32)
    try:
        import faiss
    except ImportError:
        from sklearn.cluster import KMeans

        clusters = KMeans(k, n_init=1, max_iter=300, random_state=seed).fit_predict(vectors)
        return float(normalized_mutual_info_score(labels, clusters)), "scikit-learn"
    kmeans = faiss.Kmeans(
        vectors.shape[1], k, niter=ITERATIONS, seed=seed, min_points_per_centroid=1, gpu=False
    )
    kmeans.train(vectors)
    _, clusters = kmeans.index.search(vectors, 1)
    return float(normalized_mutual_info_score(labels, clusters[:, 0])), "faiss"
