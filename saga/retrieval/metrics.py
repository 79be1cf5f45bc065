"""Recall@K, MAP@R and NMI on unseen classes, with every query's outcome kept (METHOD section 6).

A query is every image; its gallery all the others. Recall@K: any of the K nearest has its class.
MAP@R (Musgrave et al., 2020): with R other images of its class, the mean over ranks i ≤ R of precision at i
where rank i is right, else 0. NMI: k-means with k = number of classes against the classes.

Shapes: n images, E embedding width.
"""

import numpy as np
import pandas as pd

from saga.retrieval.configuration import RetrievalConfig
from saga.retrieval.nmi import normalized_mutual_information
from saga.retrieval.report import RetrievalReport
from saga.retrieval.search import search

KS = (1, 2, 4, 8)


def evaluate_embeddings(
    embeddings: np.ndarray,
    frame: pd.DataFrame,
    config: RetrievalConfig,
    *,
    name: str,
    encoder_digest: str,
    dataset_digest: str,
) -> RetrievalReport:
    """Judge embeddings of one set of images against each other.

    Args:
        embeddings: unit vectors (n, E) in the order of `frame`.
        frame: image_id, class_id, class_name.
        config: backend, seeds, chunks.
        name: what reports call the encoder.
        encoder_digest: recorded.
        dataset_digest: recorded.

    Raises:
        ValueError: if lengths differ or some class has a single image (its query cannot be right).
    """
    if len(embeddings) != len(frame):
        raise ValueError(f"{len(embeddings)} embeddings for {len(frame)} images")
    labels = frame["class_id"].to_numpy()
    counts = frame.groupby("class_id")["class_id"].transform("size").to_numpy()
    if counts.min() < 2:
        raise ValueError("a class with a single image cannot be retrieved")
    k = min(len(frame) - 1, max(int(counts.max()) - 1, config.neighbours_kept))
    near = search(
        embeddings, embeddings, k, exclude_self=True, backend=config.backend, chunk=config.chunk
    )
    right = labels[near.indices] == labels[:, None]
    per_query = _per_query(frame, near.indices, near.similarities, right, counts - 1, config)
    nmi, clusterer = normalized_mutual_information(embeddings, labels, config.nmi_seed)
    metrics = {f"recall_at_{K}": float(per_query[f"hit_at_{K}"].mean()) for K in KS}
    metrics |= {"map_at_r": float(per_query["map_at_r"].mean()), "nmi": nmi}
    diagnostics = _diagnostics(embeddings, near.similarities, right)
    return RetrievalReport(
        name=name,
        metrics=metrics,
        per_query=per_query,
        encoder_digest=encoder_digest,
        dataset_digest=dataset_digest,
        facts={"nmi_seed": config.nmi_seed, "nmi_clusterer": clusterer} | diagnostics,
    )


def _per_query(
    frame: pd.DataFrame,
    indices: np.ndarray,
    similarities: np.ndarray,
    right: np.ndarray,
    relevant: np.ndarray,
    config: RetrievalConfig,
) -> pd.DataFrame:
    """One row per query: its hits, MAP@R and nearest images."""
    table = frame[["image_id", "class_id", "class_name"]].reset_index(drop=True).copy()
    for K in KS:
        table[f"hit_at_{K}"] = right[:, : min(K, right.shape[1])].any(1)
    ranks = np.arange(1, right.shape[1] + 1)
    precision = right.cumsum(1) / ranks
    inside = ranks[None] <= relevant[:, None]
    table["map_at_r"] = (precision * right * inside).sum(1) / relevant
    kept = config.neighbours_kept
    ids = frame["image_id"].to_numpy()
    table["neighbours"] = list(ids[indices[:, :kept]])
    table["similarities"] = list(similarities[:, :kept].astype(np.float32))
    return table


def _diagnostics(
    embeddings: np.ndarray, similarities: np.ndarray, right: np.ndarray
) -> dict[str, float]:
    """Spread and effective rank: a collapsed space shows here whatever its recall."""
    mean = embeddings.mean(0)
    n = len(embeddings)
    pairwise = (n * float(mean @ mean) - 1) / (n - 1)
    values = np.linalg.svd(embeddings - mean, compute_uv=False) ** 2
    shares = values[values > 0] / values.sum()
    return {
        "spread": 1 - pairwise,
        "effective_rank": float(np.exp(-(shares * np.log(shares)).sum())),
        "top1_similarity": float(similarities[:, 0].mean()),
        "top1_similarity_right": float(similarities[right[:, 0], 0].mean()) if right[:, 0].any() else 0.0,
    }
