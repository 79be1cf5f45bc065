"""Is training healthy? Embedding spread, similarity histogram, and when to stop early."""

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from saga.training.configuration import CollapseConfig

HISTOGRAM_BINS = 10
SHARE_OF_THE_START = 0.5
"""A space that began narrow may still lose this share of its first step's spread: means of untrained
tokens are as alike as a collapsed space, and not collapsed."""


@torch.no_grad()
def embedding_metrics(embeddings_BE: Tensor, labels_B: Tensor) -> dict[str, float]:
    """Spread and similarity histogram of a batch.

    Args:
        embeddings_BE: unit vectors.
        labels_B: class of each.

    Returns:
        `embedding/spread` (1 - mean cosine of different images), mean cosine of same-class and
        different-class pairs, and shares of all pairs in ten bins over [-1, 1].
    """
    similarity = embeddings_BE.float() @ embeddings_BE.float().T
    upper = torch.triu(torch.ones_like(similarity, dtype=torch.bool), 1)
    same = (labels_B[:, None] == labels_B[None])[upper]
    values = similarity[upper]
    # Clamped: equal vectors may have a cosine that rounds to more than 1, outside of all bins.
    counts = torch.histc(values.clamp(-1, 1).cpu(), HISTOGRAM_BINS, -1, 1)
    metrics = {
        "embedding/spread": 1 - float(values.mean()),
        "embedding/similarity_same": float(values[same].mean()) if same.any() else 0.0,
        "embedding/similarity_different": float(values[~same].mean()) if (~same).any() else 0.0,
    }
    shares = (counts / counts.sum()).tolist()
    return metrics | {f"embedding/histogram_{i}": share for i, share in enumerate(shares)}


@dataclass
class CollapseWatch:
    """Counts bad steps in a row and says when, and why, to stop."""

    config: CollapseConfig
    flat_steps: int = 0
    barren_steps: int = 0
    reason: str | None = field(default=None)
    bound: float | None = None
    """Spread below which a step is flat; set by the first step."""

    def observe(self, spread: float, contributing: float | None, finite: bool) -> str | None:
        """Take one step's figures; returns the reason to stop, or None.

        Args:
            spread: embedding spread of the step's batch.
            contributing: share of contributing pairs; None for an arm without rollouts.
            finite: whether every loss and gradient was finite.
        """
        if self.bound is None:
            self.bound = min(self.config.min_spread, SHARE_OF_THE_START * spread)
        self.flat_steps = self.flat_steps + 1 if spread < self.bound else 0
        self.barren_steps = self.barren_steps + 1 if contributing == 0 else 0
        if not finite:
            self.reason = "a loss or gradient was not finite; lower the learning rates"
        elif self.config.patience and self.flat_steps >= self.config.patience:
            self.reason = (
                f"the embedding space collapsed: spread {spread:.4f} stayed below "
                f"{self.bound:.4g} for {self.flat_steps} steps; lower the learning rates or raise "
                "weights.dml"
            )
        elif self.config.barren_steps and self.barren_steps >= self.config.barren_steps:
            self.reason = (
                f"no pair contributed for {self.barren_steps} steps: all rollouts of every pair "
                "earned the same reward, so the supervisor teaches nothing here; choose other "
                "pairs, a higher temperature or another supervisor"
            )
        return self.reason

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run has to know."""
        state = asdict(self)
        del state["config"]
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on counting where `state_dict` was taken."""
        for name, value in state.items():
            setattr(self, name, value)
