"""What every metric loss L_DML shares: the checks of a batch, float32, and (loss, metrics).

Shapes: B images, E embedding width, C classes.
"""

import torch
from torch import Tensor, nn

from saga.losses.configuration import MetricLossConfig

Metrics = dict[str, float | Tensor]
"""Figures for the log: floats, or 0-d tensors without gradient (no wait for the GPU)."""


class MetricLoss(nn.Module):
    """Base of the metric losses; a subclass implements `_loss`.

    The loss is computed in float32 even under autocast: similarities are divided by temperatures
    or raised to powers, which bfloat16's eight bits do not survive.
    """

    def __init__(self, config: MetricLossConfig, num_classes: int, embedding_dim: int) -> None:
        super().__init__()
        self.config = config
        self.num_classes = num_classes
        self.embedding_dim = embedding_dim

    def forward(self, embeddings_BE: Tensor, labels_B: Tensor) -> tuple[Tensor, Metrics]:
        """Loss of one class-balanced batch, with gradient to the embeddings and the proxies.

        Args:
            embeddings_BE: unit vectors.
            labels_B: class indices in [0, num_classes).

        Returns:
            the scalar loss, normalised as the subclass says, and metrics without gradient.

        Raises:
            ValueError: if shapes or labels do not fit, or the batch lacks a positive or a negative
                pair (some losses would silently be 0).
        """
        check_batch(embeddings_BE, labels_B, self.num_classes, self.embedding_dim)
        dtype = torch.promote_types(embeddings_BE.dtype, torch.float32)
        with torch.autocast(embeddings_BE.device.type, enabled=False):
            loss, metrics = self._loss(embeddings_BE.to(dtype), labels_B)
        return loss, {"metric/loss": loss.detach()} | metrics

    def proxy_parameters(self) -> list[nn.Parameter]:
        """The learnable proxies, which train at their own rate; empty for pair losses."""
        return list(self.parameters())

    def _loss(self, embeddings_BE: Tensor, labels_B: Tensor) -> tuple[Tensor, Metrics]:
        raise NotImplementedError


def check_batch(
    embeddings_BE: Tensor, labels_B: Tensor, num_classes: int, embedding_dim: int
) -> None:
    """Refuse a batch that the losses would misread.

    Raises:
        ValueError: saying what was expected and what came.
    """
    if embeddings_BE.ndim != 2 or embeddings_BE.shape[1] != embedding_dim:
        raise ValueError(
            f"embeddings must be (B, {embedding_dim}), got {tuple(embeddings_BE.shape)}"
        )
    if labels_B.shape != embeddings_BE.shape[:1] or labels_B.dtype != torch.long:
        raise ValueError(
            f"labels must be int64 of shape ({len(embeddings_BE)},), "
            f"got {labels_B.dtype} of shape {tuple(labels_B.shape)}"
        )
    present, counts = labels_B.unique(return_counts=True)
    if len(present) and (int(present[0]) < 0 or int(present[-1]) >= num_classes):
        raise ValueError(
            f"labels must be contiguous class indices in [0, {num_classes}), "
            f"got {int(present[0])} to {int(present[-1])}; map the class ids of the data first"
        )
    if len(present) < 2 or int(counts.max()) < 2:
        raise ValueError(
            "a batch needs two images of one class and two classes (images_per_class ≥ 2), "
            f"got {len(labels_B)} images of {len(present)} classes"
        )
