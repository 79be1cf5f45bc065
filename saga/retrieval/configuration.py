"""Settings of retrieval evaluation."""

import difflib
from dataclasses import dataclass
from typing import Literal

from saga.retrieval.corruptions import CORRUPTIONS
from saga.settings.checks import check_seed

Backend = Literal["torch", "faiss", "faiss-gpu"]
REPORTED_KS = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True)
class RetrievalConfig:
    """How embeddings of the unseen classes are judged."""

    ks: tuple[int, ...] = REPORTED_KS
    """Ranks K of Recall@K, ascending; 1, 2, 4 and 8 are always among them."""
    backend: Backend = "torch"
    """Exact search by torch or FAISS."""
    chunk: int = 1024
    """Queries searched at once; bounds memory."""
    batch_size: int = 64
    """Images embedded at once."""
    nmi_seed: int = 0
    """Seed of the k-means behind NMI, which moves by several points over seeds."""
    neighbours_kept: int = 8
    """Nearest images stored per query, for galleries."""
    confidence: float = 0.95
    """Level of the two-sided intervals, which are clustered by class."""
    bootstrap: int = 0
    """Resamplings of classes behind the intervals; 0 takes the cluster-robust t interval."""
    bootstrap_seed: int = 0
    """Seed of the resampling."""
    slices: tuple[str, ...] = ()
    """Columns of the images' table by whose values the outcomes are also told apart."""
    corruptions: tuple[str, ...] = ()
    """Corruptions of the queries (gaussian_noise, gaussian_blur, jpeg, crop) under which they are
    searched for once more; each costs about as much as the evaluation itself."""

    def __post_init__(self) -> None:
        if list(self.ks) != sorted(set(self.ks)) or not set(REPORTED_KS) <= set(self.ks):
            raise ValueError(f"ks must be ascending and hold 1, 2, 4 and 8, got {list(self.ks)}")
        if min(self.ks) < 1:
            raise ValueError(f"ks must be at least 1, got {min(self.ks)}")
        for name in ("chunk", "batch_size", "neighbours_kept"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("nmi_seed", "bootstrap_seed"):
            check_seed(getattr(self, name), name)
        if not 0.5 <= self.confidence < 1:
            raise ValueError(f"confidence must be in [0.5, 1), got {self.confidence}")
        if self.bootstrap and self.bootstrap < 200:
            raise ValueError(f"bootstrap must be 0 or at least 200, got {self.bootstrap}")
        if len(set(self.slices)) != len(self.slices):
            raise ValueError(f"slices names a column twice: {list(self.slices)}")
        for name in self.corruptions:
            if name not in CORRUPTIONS:
                near = difflib.get_close_matches(name, CORRUPTIONS, 1)
                raise ValueError(
                    f"corruptions: {name} is not one. {f'Nearest: {near[0]}. ' if near else ''}"
                    f"Allowed: {', '.join(CORRUPTIONS)}"
                )
        if len(set(self.corruptions)) != len(self.corruptions):
            raise ValueError(f"corruptions names one twice: {list(self.corruptions)}")
