"""Settings of the encoder: which pooler, how wide, what of the tower is trained."""

from dataclasses import dataclass, field
from typing import Literal

from saga.settings.checks import check_seed


@dataclass(frozen=True, slots=True)
class PoolerConfig:
    """c_φ: how one image's tokens become one vector."""

    kind: Literal["mean", "max", "attention", "attribute"] = "attention"
    """mean and max are the baselines; attention, with one query, is the paper's; attribute has one
    query for each attribute or group of attributes of the prompt. L_KL can teach the last two."""
    embedding_dim: int | None = None
    """Width D_e of the embedding; None keeps the tokens' width D (attribute: the largest multiple of
    its queries up to D)."""
    queries: tuple[str, ...] = ()
    """Attribute pooler: what its queries are for, by name; empty takes the groups of the prompt, or
    its attributes where it has no groups."""
    combine: Literal["concatenate", "sum"] = "concatenate"
    """Attribute pooler: how the queries' vectors become one."""
    normalize_keys: bool = False
    """Layer-norm the tokens before the key projection. The paper does not; with small towers, whose
    tokens differ in scale, the weights otherwise stay near uniform."""
    seed: int = 0
    """Seed of the initial weights."""

    def __post_init__(self) -> None:
        if self.embedding_dim is not None and self.embedding_dim < 2:
            raise ValueError(f"embedding_dim must be at least 2, got {self.embedding_dim}")
        object.__setattr__(self, "queries", tuple(self.queries))  # JSON has lists only
        if len(set(self.queries)) != len(self.queries):
            raise ValueError(f"queries: each name must be given once, got {list(self.queries)}")
        if self.queries and self.kind != "attribute":
            raise ValueError(f"queries belong to the attribute pooler, not to kind {self.kind}")
        count, dim = len(self.queries), self.embedding_dim
        if self.combine == "concatenate" and count and dim is not None and dim % count:
            raise ValueError(
                f"embedding_dim must be a multiple of the {count} queries that are concatenated, "
                f"got {dim}; nearest: {max(1, round(dim / count)) * count}"
            )
        check_seed(self.seed)


@dataclass(frozen=True, slots=True)
class LoraConfig:
    """Low-rank adapters on the tower, through PEFT."""

    rank: int = 16
    """Rank of the adapters."""
    alpha: int = 32
    """Adapters are scaled by alpha / rank."""
    dropout: float = 0.0
    """Dropout before an adapter."""
    target_modules: tuple[str, ...] | None = None
    """Last names of the linear layers to adapt ("qkv"); None adapts all of them."""

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha < 1:
            raise ValueError("lora.rank and lora.alpha must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"lora.dropout must be in [0, 1), got {self.dropout}")


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """f_θ and c_φ."""

    pooler: PoolerConfig = field(default_factory=PoolerConfig)
    """The pooler."""
    tuning: Literal["full", "lora", "frozen"] = "full"
    """What of the tower is trained: all of it (the paper), adapters, or nothing."""
    lora: LoraConfig = field(default_factory=LoraConfig)
    """Used when tuning is "lora"."""
