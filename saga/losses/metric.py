"""L_DML: the metric loss over a class-balanced batch (METHOD section 3).

InfoNCE, Multi-Similarity and Proxy-Anchor are pytorch-metric-learning's; Potential Field is ours. All
work in float32 on unit vectors and are means over the batch.

Shapes: B images, E embedding width.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from saga.errors import UserInputError
from saga.losses.configuration import MetricLossConfig
from saga.losses.potential_field import PotentialField

Metrics = dict[str, float]


class MetricLoss(nn.Module):
    """A metric loss with its miner, under one interface."""

    def __init__(self, loss: nn.Module, miner: Callable[..., object] | None = None) -> None:
        super().__init__()
        self.loss = loss
        self.miner = miner

    def forward(self, embeddings_BE: Tensor, labels_B: Tensor) -> tuple[Tensor, Metrics]:
        """The loss of a batch.

        Args:
            embeddings_BE: unit vectors.
            labels_B: class indices from 0.

        Raises:
            ValueError: if no two images share a class (the loss would be zero without saying so).
        """
        if len(labels_B.unique()) == len(labels_B):
            raise ValueError("no two images of the batch share a class; use images_per_class ≥ 2")
        with torch.autocast(embeddings_BE.device.type, enabled=False):
            embeddings_BE = embeddings_BE.float()
            mined = () if self.miner is None else (self.miner(embeddings_BE, labels_B),)
            loss = self.loss(embeddings_BE, labels_B, *mined)
        return loss, {"dml/loss": float(loss.detach())}

    def proxy_parameters(self) -> list[nn.Parameter]:
        """Proxies, if the loss has any; they learn at their own rate."""
        return list(self.loss.parameters())


def build_metric_loss(
    config: MetricLossConfig, num_classes: int, embedding_dim: int, seed: int
) -> MetricLoss:
    """The configured loss.

    Args:
        config: name and parameters.
        num_classes: training classes.
        embedding_dim: E.
        seed: of the initial proxies.

    Raises:
        UserInputError: if pytorch-metric-learning is needed and not installed.
    """
    if config.name == "potential_field":
        return MetricLoss(
            PotentialField(
                num_classes,
                embedding_dim,
                proxies=config.pf_proxies,
                alpha=config.pf_alpha,
                delta=config.pf_delta,
                seed=seed,
            )
        )
    try:
        from pytorch_metric_learning import losses, miners
    except ImportError as error:
        raise UserInputError(
            f"training.metric_loss.name {config.name} needs the package pytorch-metric-learning, "
            "which is not installed here. Install it, or use potential_field."
        ) from error
    if config.name == "infonce":
        return MetricLoss(losses.NTXentLoss(temperature=config.temperature))
    if config.name == "multi_similarity":
        return MetricLoss(
            losses.MultiSimilarityLoss(config.ms_alpha, config.ms_beta, config.ms_base),
            miners.MultiSimilarityMiner(config.ms_epsilon),
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        proxy_anchor = losses.ProxyAnchorLoss(
            num_classes, embedding_dim, margin=config.pa_margin, alpha=config.pa_alpha
        )
    return MetricLoss(proxy_anchor)
