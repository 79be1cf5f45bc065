"""L_DML: the metric loss over a class-balanced batch (METHOD section 3).

InfoNCE, Multi-Similarity and Proxy-Anchor are pytorch-metric-learning's; here they get checked
labels, float32, seeded proxies and (loss, metrics). Potential Field is ours, in potential_field.py.

In the equations s_ij = z_i·z_j is the cosine similarity of two embeddings; P_i and N_i are the
images of the batch that share image i's class (itself left out) and those that do not.

Shapes: B images, E embedding width, C classes.
"""

from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from saga.errors import UserInputError
from saga.losses.base import MetricLoss, Metrics
from saga.losses.configuration import MetricLossConfig
from saga.losses.potential_field import PotentialField


def build_metric_loss(
    config: MetricLossConfig, num_classes: int, embedding_dim: int, seed: int
) -> MetricLoss:
    """The configured loss, on the CPU.

    Args:
        config: which loss, and its parameters.
        num_classes: training classes C; labels are the indices below it.
        embedding_dim: E.
        seed: of the initial proxies; the global generator is left as it was.

    Raises:
        ValueError: for fewer than two classes, or no width.
        UserInputError: if pytorch-metric-learning is needed and cannot be imported.
    """
    if num_classes < 2 or embedding_dim < 1:
        raise ValueError(
            "a metric loss needs at least 2 classes and 1 dimension, "
            f"got {num_classes} and {embedding_dim}"
        )
    losses: dict[str, type[MetricLoss]] = {
        "infonce": InfoNCE,
        "multi_similarity": MultiSimilarity,
        "proxy_anchor": ProxyAnchor,
        "potential_field": PotentialField,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return losses[config.name](config, num_classes, embedding_dim)


class InfoNCE(MetricLoss):
    """InfoNCE (van den Oord et al., arXiv 1807.03748) with class labels, τ = 0.07.

    L = 1/Σ_i|P_i| · Σ_i Σ_{p ∈ P_i} −log [e^{s_ip/τ} / (e^{s_ip/τ} + Σ_{n ∈ N_i} e^{s_in/τ})]

    Normalised by the number of ordered positive pairs.
    """

    def __init__(self, config: MetricLossConfig, num_classes: int, embedding_dim: int) -> None:
        super().__init__(config, num_classes, embedding_dim)
        self.inner: Any = _library("losses", config).NTXentLoss(temperature=config.temperature)

    def _loss(self, embeddings_BE: Tensor, labels_B: Tensor) -> tuple[Tensor, Metrics]:
        return self.inner(embeddings_BE, labels_B), {}


class MultiSimilarity(MetricLoss):
    """Multi-Similarity (Wang et al., arXiv 1904.06627), α = 2, β = 50, λ = 0.5, miner's ε = 0.1.

    L = 1/B · Σ_i { 1/α · log[1 + Σ_{p ∈ P_i'} e^{−α(s_ip − λ)}]
                  + 1/β · log[1 + Σ_{n ∈ N_i'} e^{β(s_in − λ)}] }
    P_i' = {p ∈ P_i : s_ip < max_{N_i} s + ε},  N_i' = {n ∈ N_i : s_in > min_{P_i} s − ε}

    Normalised by the images of the batch. Where the miner keeps no pair at all, the loss is 0.
    """

    def __init__(self, config: MetricLossConfig, num_classes: int, embedding_dim: int) -> None:
        super().__init__(config, num_classes, embedding_dim)
        self.inner: Any = _library("losses", config).MultiSimilarityLoss(
            config.ms_alpha, config.ms_beta, config.ms_base
        )
        self.miner: Any = _library("miners", config).MultiSimilarityMiner(config.ms_epsilon)

    def _loss(self, embeddings_BE: Tensor, labels_B: Tensor) -> tuple[Tensor, Metrics]:
        mined = self.miner(embeddings_BE, labels_B)
        metrics: Metrics = {
            "metric/mined_positives": float(len(mined[0])),
            "metric/mined_negatives": float(len(mined[2])),
        }
        return self.inner(embeddings_BE, labels_B, mined), metrics


class ProxyAnchor(MetricLoss):
    """Proxy-Anchor (Kim et al., arXiv 2003.13911), α = 32, δ = 0.1, one proxy p_c per class.

    L = 1/|C⁺| · Σ_{c ∈ C⁺} log[1 + Σ_{i: y_i = c} e^{−α(s(z_i, p_c) − δ)}]
      + 1/C · Σ_c log[1 + Σ_{i: y_i ≠ c} e^{α(s(z_i, p_c) + δ)}],   C⁺ = the classes of the batch

    Normalised by classes. Proxies are drawn as in the authors' code and normalised in use; they
    learn at 100 times the pooler's rate (`optimizer.proxy_lr_multiplier`).
    """

    def __init__(self, config: MetricLossConfig, num_classes: int, embedding_dim: int) -> None:
        super().__init__(config, num_classes, embedding_dim)
        self.inner: Any = _library("losses", config).ProxyAnchorLoss(
            num_classes, embedding_dim, margin=config.pa_margin, alpha=config.pa_alpha
        )

    def _loss(self, embeddings_BE: Tensor, labels_B: Tensor) -> tuple[Tensor, Metrics]:
        return self.inner(embeddings_BE, labels_B), {}


def _library(module: str, config: MetricLossConfig) -> Any:
    """A module of pytorch-metric-learning, imported only where it is used."""
    try:
        return import_module(f"pytorch_metric_learning.{module}")
    except ImportError as error:
        raise UserInputError(
            f"metric_loss.name: {config.name} needs the package pytorch-metric-learning, which "
            f"cannot be imported here ({error}). Install it (pip install pytorch-metric-learning), "
            "or take potential_field, which needs nothing more."
        ) from error
