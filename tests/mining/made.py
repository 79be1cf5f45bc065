"""Training rows with unit vectors, and a pair set of them."""

import numpy as np
import pandas as pd

from saga.mining.configuration import MiningConfig
from saga.mining.miner import mine_pairs
from saga.mining.pairs import PairSet


def made_frame(sizes: list[int], seed: int = 0) -> pd.DataFrame:
    """Classes of these sizes in random order."""
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)) + 5, sizes))
    return pd.DataFrame(
        {"image_id": [f"image-{i:03d}" for i in range(len(labels))], "class_id": labels}
    )


def made_vectors(frame: pd.DataFrame, width: int = 6, seed: int = 0) -> np.ndarray:
    """One centre a class plus as much noise again."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(frame["class_id"].max() + 1, width))
    vectors = centres[frame["class_id"]] + rng.normal(size=(len(frame), width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def made_pairs(frame: pd.DataFrame, strategy: str = "stratified", **settings) -> PairSet:
    config = MiningConfig(strategy=strategy, **settings)  # type: ignore[arg-type]
    vectors = None if strategy == "random" else made_vectors(frame)
    return mine_pairs(frame, config, "digest of the manifest", vectors, "digest of the encoder")
