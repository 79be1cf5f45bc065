"""Settings of the metric loss."""

from dataclasses import dataclass
from typing import Literal

MetricLossName = Literal["infonce", "multi_similarity", "proxy_anchor", "potential_field"]


@dataclass(frozen=True, slots=True)
class MetricLossConfig:
    """The DML term. Defaults are those of the papers the losses come from."""

    name: MetricLossName = "potential_field"
    """Which loss; potential_field is the paper's headline."""
    temperature: float = 0.07
    """InfoNCE: softmax temperature."""
    ms_alpha: float = 2.0
    """Multi-Similarity: weight of positives."""
    ms_beta: float = 50.0
    """Multi-Similarity: weight of negatives."""
    ms_base: float = 0.5
    """Multi-Similarity: similarity that counts as neither."""
    ms_epsilon: float = 0.1
    """Multi-Similarity: margin of the miner."""
    pa_alpha: float = 32.0
    """Proxy-Anchor: scale."""
    pa_margin: float = 0.1
    """Proxy-Anchor: margin."""
    pf_proxies: int = 15
    """Potential Field: proxies per class, M."""
    pf_alpha: float = 4.0
    """Potential Field: decay exponent; flat in 3 to 6."""
    pf_delta: float = 0.2
    """Potential Field: distance below which the force is constant; insensitive in 0.10 to 0.35."""

    def __post_init__(self) -> None:
        for name in ("temperature", "pf_alpha", "pf_delta", "ms_alpha", "ms_beta", "pa_alpha"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if self.pf_proxies < 1:
            raise ValueError(f"pf_proxies must be at least 1, got {self.pf_proxies}")
