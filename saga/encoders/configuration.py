"""Settings of the encoder: which pooler, how wide, what of the tower is trained."""

from dataclasses import dataclass, field
from typing import Literal

from saga.settings.checks import check_seed


@dataclass(frozen=True, slots=True)
class PoolerConfig:
    """c_φ: how one image's tokens become one vector."""

    kind: Literal["mean", "max", "attention"] = "attention"
    """mean and max are the baselines; attention is the paper's, and the only one L_KL can teach."""
    embedding_dim: int | None = None
    """Width D_e of the embedding; None keeps the tokens' width D."""
    normalize_keys: bool = False
    """Layer-norm the tokens before the key projection. The paper does not; with small towers, whose
    tokens differ in scale, the weights otherwise stay near uniform."""
    seed: int = 0
    """Seed of the initial weights."""

    def __post_init__(self) -> None:
        if self.embedding_dim is not None and self.embedding_dim < 2:
            raise ValueError(f"embedding_dim must be at least 2, got {self.embedding_dim}")
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
