"""Recall@K, MAP@R and NMI on unseen classes, with every query's outcome kept (METHOD section 6).

A query is every image; its gallery all the others.

- Recall@K: the share of queries that have an image of their class among the K nearest.
- MAP@R (Musgrave et al., arXiv 2003.08505, as pytorch-metric-learning computes it): with R other
  images of the query's class, AP@R = 1/R Σ_{i ≤ R} P(i) · [rank i is right], P(i) the precision of
  the first i; MAP@R is its mean over queries.
- NMI: k-means with k = number of classes against the classes.

All three are means over queries, not over classes, as papers report them.

Shapes: n images, E embedding width, B queries of one chunk, k neighbours.
"""

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import pandas as pd

from saga.errors import UserInputError
from saga.retrieval.configuration import RetrievalConfig
from saga.retrieval.corruptions import PREFIX
from saga.retrieval.diagnostics import embedding_diagnostics
from saga.retrieval.nmi import CLUSTERER, normalized_mutual_information
from saga.retrieval.report import RetrievalReport, outcome_column
from saga.retrieval.search import Neighbours, check_vectors, search, search_chunks
from saga.retrieval.slices import slice_columns
from saga.retrieval.statistics import bootstrap_mean, clustered_mean

__all__ = ["RetrievalConfig", "evaluate_embeddings"]


def evaluate_embeddings(
    embeddings: np.ndarray,
    frame: pd.DataFrame,
    config: RetrievalConfig,
    *,
    name: str,
    encoder_digest: str,
    dataset_digest: str,
    corrupted: Mapping[str, np.ndarray] | None = None,
) -> RetrievalReport:
    """Judge embeddings of one set of images against each other.

    Args:
        embeddings: unit vectors (n, E) in the order of `frame`.
        frame: image_id, class_id, class_name, and any column to slice by: those the configuration
            names and those of pandas' categorical type.
        config: backend, seeds, chunks.
        name: what reports call the encoder.
        encoder_digest: recorded.
        dataset_digest: recorded.
        corrupted: unit vectors (n, E) of the same images under each corruption that the
            configuration names, by its name.

    Raises:
        ValueError: if lengths differ, ids repeat, vectors are not finite or not of unit length, or
            the corruptions are not those of the configuration.
        UserInputError: if some class has a single image, which no search can find.
    """
    embeddings = check_vectors("embeddings", embeddings)
    _check_frame(frame, len(embeddings))
    corrupted = corrupted or {}
    if set(corrupted) != set(config.corruptions):
        given = ", ".join(corrupted) or "none"
        raise ValueError(f"corruptions are {list(config.corruptions)}; embeddings of: {given}")
    slices = slice_columns(frame, config.slices)
    per_query, top1 = _per_query(embeddings, frame, config)
    labels = frame["class_id"].to_numpy()
    under = {
        f"{PREFIX}{c}": _hits_of_corrupted(corrupted[c], embeddings, labels, config)
        for c in config.corruptions
    }
    per_query = pd.concat([per_query, slices], axis=1).assign(**under)
    nmi = normalized_mutual_information(embeddings, labels, config.nmi_seed)
    names = [*(f"recall_at_{K}" for K in config.ks), "map_at_r"]
    metrics = {m: float(per_query[outcome_column(m)].mean()) for m in names}
    return RetrievalReport(
        name=name,
        metrics=metrics | {"nmi": nmi},
        per_query=per_query,
        encoder_digest=encoder_digest,
        dataset_digest=dataset_digest,
        config=_as_json(config),
        intervals=_intervals(per_query, names, config),
        facts={"nmi_clusterer": CLUSTERER} | embedding_diagnostics(embeddings, labels) | top1,
    )


def _check_frame(frame: pd.DataFrame, vectors: int) -> None:
    if vectors != len(frame):
        raise ValueError(f"{vectors} embeddings for {len(frame)} images")
    if frame["image_id"].duplicated().any():
        raise ValueError("image_id must be unique")
    counts = frame.groupby("class_id").size()
    if counts.min() < 2:
        lone = [str(c) for c in counts.index[counts < 2]]
        raise UserInputError(
            f"{len(lone)} of {len(counts)} classes have a single image (class_id "
            f"{', '.join(lone[:5])}{', …' if len(lone) > 5 else ''}), which no search can find. "
            "Every class to evaluate needs at least two: add images or leave these classes out."
        )


def _per_query(
    embeddings: np.ndarray, frame: pd.DataFrame, config: RetrievalConfig
) -> tuple[pd.DataFrame, dict[str, float]]:
    """One row per query, and how similar the nearest images are."""
    labels, ids = frame["class_id"].to_numpy(), frame["image_id"].to_numpy(object)
    relevant = frame.groupby("class_id")["class_id"].transform("size").to_numpy() - 1
    most = max(int(relevant.max()), config.ks[-1], config.neighbours_kept)
    k = min(len(labels) - 1, most)
    parts, top1 = [], []
    for rows, near in search_chunks(
        embeddings, embeddings, k, exclude_self=True, backend=config.backend, chunk=config.chunk
    ):
        right_BK = labels[near.indices] == labels[rows, None]
        parts.append(_outcomes(right_BK, relevant[rows], near, ids, config))
        top1.append(np.stack([near.similarities[:, 0], right_BK[:, 0]]))
    outcomes = pd.concat(parts, ignore_index=True)
    similarity, right = np.concatenate(top1, axis=1)
    similarities = {"top1_similarity": float(similarity.mean())}
    for kind, chosen in (("right", right == 1), ("wrong", right == 0)):
        if chosen.any():
            similarities[f"top1_similarity_{kind}"] = float(similarity[chosen].mean())
    images = frame[["image_id", "class_id", "class_name"]].reset_index(drop=True)
    images = images.astype({"image_id": str, "class_id": "int64", "class_name": str})
    return pd.concat([images, outcomes], axis=1), similarities


def _outcomes(
    right_BK: np.ndarray,
    relevant_B: np.ndarray,
    near: Neighbours,
    ids: np.ndarray,
    config: RetrievalConfig,
) -> pd.DataFrame:
    """Hits, rank of the first hit, AP@R and nearest images of one chunk of queries."""
    kept = config.neighbours_kept
    table: dict[str, object] = {f"hit_at_{K}": right_BK[:, :K].any(1) for K in config.ks}
    seen = right_BK[:, : config.ks[-1]]
    first = np.where(seen.any(1), seen.argmax(1) + 1, 0)
    ranks = np.arange(1, right_BK.shape[1] + 1)
    precision = right_BK.cumsum(1) / ranks
    inside = ranks <= relevant_B[:, None]
    table["first_hit"] = pd.Series(first, dtype="Int32").mask(first == 0)
    table["ap_at_r"] = (precision * (right_BK & inside)).sum(1) / relevant_B
    table["neighbours"] = ids[near.indices[:, :kept]].tolist()
    table["similarities"] = list(near.similarities[:, :kept].astype(np.float32))
    return pd.DataFrame(table)


def _hits_of_corrupted(
    queries: np.ndarray, gallery: np.ndarray, labels: np.ndarray, config: RetrievalConfig
) -> np.ndarray:
    """Whether each corrupted query's nearest clean image, but its own, is of its class."""
    found = search(
        queries, gallery, 1, exclude_self=True, backend=config.backend, chunk=config.chunk
    )
    right: np.ndarray = labels[found.indices[:, 0]] == labels
    return right


def _intervals(
    per_query: pd.DataFrame, names: list[str], config: RetrievalConfig
) -> dict[str, list[float]]:
    """[low, high] of each metric; none where there is a single class."""
    if per_query["class_id"].nunique() < 2:
        return {}
    intervals = {}
    for metric in names:
        values, classes = per_query[outcome_column(metric)], per_query["class_id"]
        if config.bootstrap:
            found = bootstrap_mean(
                values, classes, config.confidence, config.bootstrap, config.bootstrap_seed
            )
        else:
            found = clustered_mean(values, classes, config.confidence)
        intervals[metric] = [found.low, found.high]
    return intervals


def _as_json(config: RetrievalConfig) -> dict[str, object]:
    values = asdict(config)
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
