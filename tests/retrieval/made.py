"""Made embeddings and reports, and the metrics written out in loops."""

import numpy as np
import pandas as pd

from saga.retrieval.metrics import RetrievalConfig, evaluate_embeddings
from saga.retrieval.report import RetrievalReport


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def made_frame(sizes: list[int]) -> pd.DataFrame:
    """Classes of these sizes, images in random order."""
    labels = np.random.default_rng(7).permutation(np.repeat(np.arange(len(sizes)) + 3, sizes))
    return pd.DataFrame(
        {
            "image_id": [f"image-{i:04d}" for i in range(len(labels))],
            "class_id": labels,
            "class_name": [f"class {c}" for c in labels],
        }
    )


def made_embeddings(
    frame: pd.DataFrame, noise: float, seed: int = 0, width: int = 12
) -> np.ndarray:
    """One random centre a class plus noise."""
    rng = np.random.default_rng(seed)
    classes, members = np.unique(frame["class_id"], return_inverse=True)
    centres = unit(rng.normal(size=(len(classes), width)))
    return unit(centres[members] + noise * rng.normal(size=(len(frame), width)))


def made_report(
    sizes: list[int], noise: float, seed: int = 0, name: str = "saga", **config: object
) -> RetrievalReport:
    """Corruptions that the configuration names make the queries half as noisy again."""
    frame = made_frame(sizes)
    settings = RetrievalConfig(**config)  # type: ignore[arg-type]
    poor = made_embeddings(frame, 1.5 * noise, seed)
    return evaluate_embeddings(
        made_embeddings(frame, noise, seed),
        frame,
        settings,
        corrupted=dict.fromkeys(settings.corruptions, poor),
        name=name,
        encoder_digest=f"encoder of {name} {noise} {seed}",
        dataset_digest=f"dataset {sizes}",
    )


def naive_ranking(embeddings: np.ndarray, query: int) -> list[int]:
    """All other images, nearest first, equal ones by position."""
    scores = embeddings.astype(np.float64) @ embeddings[query].astype(np.float64)
    others = [i for i in range(len(embeddings)) if i != query]
    return sorted(others, key=lambda i: (-scores[i], i))


def naive_metrics(embeddings: np.ndarray, labels: list[int], ks: list[int]) -> dict[str, float]:
    hits = dict.fromkeys(ks, 0)
    average_precision = 0.0
    for query, label in enumerate(labels):
        right = [labels[i] == label for i in naive_ranking(embeddings, query)]
        for K in ks:
            hits[K] += any(right[:K])
        R = sum(right)
        average_precision += sum(sum(right[: i + 1]) / (i + 1) for i in range(R) if right[i]) / R
    n = len(labels)
    return {f"recall_at_{K}": hits[K] / n for K in ks} | {"map_at_r": average_precision / n}
