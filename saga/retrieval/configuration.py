"""Settings of retrieval evaluation."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class RetrievalConfig:
    """How embeddings of the unseen classes are judged."""

    backend: Literal["torch", "faiss", "faiss-gpu"] = "torch"
    """Exact search by torch or FAISS."""
    chunk: int = 1024
    """Queries searched at once; bounds memory."""
    batch_size: int = 64
    """Images embedded at once."""
    nmi_seed: int = 0
    """Seed of the k-means behind NMI, which moves by several points over seeds."""
    neighbours_kept: int = 8
    """Nearest images stored per query, for galleries."""

    def __post_init__(self) -> None:
        if min(self.chunk, self.batch_size) < 1:
            raise ValueError("chunk and batch_size must be at least 1")
        if self.neighbours_kept < 8:
            raise ValueError("neighbours_kept must be at least 8: Recall@8 reads them")
