"""Poolers c_φ: one image's tokens become one unit vector (METHOD section 2).

    β = softmax(q W_k Xᵀ / √D),  z = normalise(W_o (β X))

The attention pooler starts as mean pooling: q = 0 makes β uniform. W_o is the identity where
D_e = D, else a seeded orthogonal map. With q = 0 the key projection gets no gradient in the very first
step (it is multiplied by q); it moves from the second on.

The attribute pooler is ours, not the paper's: Q such queries, one for each attribute (or group of
attributes) that the supervisor describes, so that each can follow that attribute's own attention map;
one query has to look everywhere at once, and loses what the tokens hold.

    β_i = softmax(q_i W_k Xᵀ / √D),  z_i = normalise(W_o,i (β_i X)),  i = 1…Q
    concatenate: z = normalise([z_1; …; z_Q]), W_o,i: R^D → R^{D_e / Q}
    sum:         z = normalise(Σ_i z_i),       W_o,i: R^D → R^{D_e}

Shapes: B images, N tokens, D token width, Q queries, E embedding width.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saga.encoders.configuration import PoolerConfig


@dataclass(frozen=True, slots=True)
class Pooled:
    """What a pooler says about some images."""

    embedding_BE: Tensor
    """Unit vectors, float32."""
    log_weights_BQN: Tensor | None
    """log β per query; None for poolers without attention."""


class Pooler(nn.Module):
    """Base of the poolers; all compute in float32 whatever the autocast, in training as in use."""

    def __init__(self, config: PoolerConfig, width: int) -> None:
        super().__init__()
        self.config = config
        self.width = width
        self.embedding_dim = config.embedding_dim or width

    def forward(self, tokens_BND: Tensor) -> Pooled:
        """Pool the tokens (B, N, D) of some images."""
        with torch.autocast(tokens_BND.device.type, enabled=False):
            return self._pooled(tokens_BND.float())

    def _pooled(self, tokens_BND: Tensor) -> Pooled:
        raise NotImplementedError

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.config.seed)


class MeanPooler(Pooler):
    """The mean token; a learned projection only where D_e differs from D."""

    def __init__(self, config: PoolerConfig, width: int) -> None:
        super().__init__(config, width)
        self.project = optional_projection(width, self.embedding_dim, self._generator())

    def _pooled(self, tokens_BND: Tensor) -> Pooled:
        return Pooled(unit(self.project(self.pool(tokens_BND))), None)

    def pool(self, tokens_BND: Tensor) -> Tensor:
        """The mean over tokens."""
        return tokens_BND.mean(1)


class MaxPooler(MeanPooler):
    """The largest value of each channel over the tokens."""

    def pool(self, tokens_BND: Tensor) -> Tensor:
        """The maximum over tokens."""
        return tokens_BND.amax(1)


class AttentionPooler(Pooler):
    """One learnable query over projected keys; its weights β are what L_KL supervises."""

    def __init__(self, config: PoolerConfig, width: int) -> None:
        super().__init__(config, width)
        self.query_QD = nn.Parameter(torch.zeros(1, width))
        self.key_DD = nn.Parameter(first_keys(width, self._generator()))
        self.output_ED = nn.Parameter(projection(width, self.embedding_dim, self._generator()))

    def _pooled(self, tokens_BND: Tensor) -> Pooled:
        log_weights_BQN = self.log_weights(tokens_BND)
        pooled_BD = (log_weights_BQN.exp() @ tokens_BND)[:, 0]
        return Pooled(unit(pooled_BD @ self.output_ED.T), log_weights_BQN)

    def log_weights(self, tokens_BND: Tensor) -> Tensor:
        """The logarithm of β, (B, Q, N)."""
        keys = tokens_BND
        if self.config.normalize_keys:
            keys = F.layer_norm(keys, keys.shape[-1:])
        scores_BQN = self.query_QD @ (keys @ self.key_DD.T).transpose(1, 2)
        return (scores_BQN / math.sqrt(self.width)).log_softmax(-1)


class AttributePooler(AttentionPooler):
    """One query per attribute or group, over the same projected keys; each looks for itself."""

    def __init__(self, config: PoolerConfig, width: int) -> None:
        if not config.queries:
            raise ValueError("an attribute pooler needs the names of its queries")
        Pooler.__init__(self, config, width)
        Q, generator = len(config.queries), self._generator()
        if config.embedding_dim is None and config.combine == "concatenate":
            self.embedding_dim = max(1, width // Q) * Q
        part = self.embedding_dim if config.combine == "sum" else self.embedding_dim // Q
        # Alike at the start, queries would stay alike wherever the maps are not given.
        self.query_QD = nn.Parameter(QUERY_SPREAD * torch.randn(Q, width, generator=generator))
        self.key_DD = nn.Parameter(first_keys(width, generator))
        outputs = [projection(width, part, generator) for _ in range(Q)]
        self.output_QED = nn.Parameter(torch.stack(outputs))

    def _pooled(self, tokens_BND: Tensor) -> Pooled:
        log_weights_BQN = self.log_weights(tokens_BND)
        pooled_BQD = log_weights_BQN.exp() @ tokens_BND
        parts_BQE = unit(torch.einsum("bqd,qed->bqe", pooled_BQD, self.output_QED))
        whole = parts_BQE.sum(1) if self.config.combine == "sum" else parts_BQE.flatten(1)
        return Pooled(unit(whole), log_weights_BQN)


QUERY_SPREAD = 0.3
"""Standard deviation of an attribute pooler's first queries: nearly even weights, yet different."""
POOLERS: dict[str, type[Pooler]] = {
    "mean": MeanPooler,
    "max": MaxPooler,
    "attention": AttentionPooler,
    "attribute": AttributePooler,
}


def build_pooler(config: PoolerConfig, width: int) -> Pooler:
    """The configured pooler for tokens of the given width."""
    return POOLERS[config.kind](config, width)


def first_keys(width: int, generator: torch.Generator) -> Tensor:
    """Initial W_k (D, D)."""
    bound = 1 / math.sqrt(width)
    return torch.empty(width, width).uniform_(-bound, bound, generator=generator)


def projection(width: int, embedding_dim: int, generator: torch.Generator) -> Tensor:
    """Initial W_o (E, D): the identity where it is square, else orthogonal rows or columns."""
    if embedding_dim == width:
        return torch.eye(width)
    gaussian = torch.randn(
        max(width, embedding_dim), min(width, embedding_dim), generator=generator
    )
    orthogonal, _ = torch.linalg.qr(gaussian)
    return orthogonal.T.contiguous() if embedding_dim < width else orthogonal.contiguous()


def optional_projection(width: int, embedding_dim: int, generator: torch.Generator) -> nn.Module:
    """A linear map, or nothing where the widths are equal."""
    if embedding_dim == width:
        return nn.Identity()
    linear = nn.utils.skip_init(nn.Linear, width, embedding_dim, bias=False)
    linear.weight = nn.Parameter(projection(width, embedding_dim, generator))
    return linear


def unit(x: Tensor) -> Tensor:
    """L2-normalised rows in float32."""
    return F.normalize(x.float(), dim=-1)
