"""Settings of the metric loss L_DML (METHOD section 3)."""

from dataclasses import dataclass
from typing import Literal, get_args

MetricLossName = Literal["infonce", "multi_similarity", "proxy_anchor", "potential_field"]


@dataclass(frozen=True, slots=True)
class MetricLossConfig:
    """The DML term. Defaults are those of the papers the losses come from."""

    name: MetricLossName = "potential_field"
    """Which loss; potential_field is the paper's headline. Only its own parameters below count."""
    temperature: float = 0.07
    """InfoNCE: divides the cosine similarities; above 0."""
    ms_alpha: float = 2.0
    """Multi-Similarity: sharpness over positive pairs; above 0."""
    ms_beta: float = 50.0
    """Multi-Similarity: sharpness over negative pairs; above 0."""
    ms_base: float = 0.5
    """Multi-Similarity: cosine similarity at which a pair is neither near nor far."""
    ms_epsilon: float = 0.1
    """Multi-Similarity: margin of the miner, in cosine similarity."""
    pa_alpha: float = 32.0
    """Proxy-Anchor: sharpness; above 0."""
    pa_margin: float = 0.1
    """Proxy-Anchor: margin in cosine similarity; at least 0."""
    pf_proxies: int = 15
    """Potential Field: proxies per class, M."""
    pf_alpha: float = 3.0
    """Potential Field: exponent of the decay with distance; results are flat in 3 to 6."""
    pf_delta: float = 0.2
    """Potential Field: distance between unit vectors within which attraction ends and repulsion
    begins, in (0, 2); results are insensitive in 0.10 to 0.35."""
    pf_min_distance: float = 0.01
    """Potential Field: smaller distances count as this one, without gradient; in (0, pf_delta)."""

    def __post_init__(self) -> None:
        if self.name not in get_args(MetricLossName):
            allowed = ", ".join(get_args(MetricLossName))
            raise ValueError(f"name must be one of {allowed}, got {self.name!r}")
        for name in ("temperature", "ms_alpha", "ms_beta", "pa_alpha", "pf_alpha"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if not self.pa_margin >= 0:
            raise ValueError(f"pa_margin must be at least 0, got {self.pa_margin}")
        if self.pf_proxies < 1:
            raise ValueError(f"pf_proxies must be at least 1, got {self.pf_proxies}")
        if not 0 < self.pf_delta < 2:
            raise ValueError(f"pf_delta must be in (0, 2), got {self.pf_delta}")
        if not 0 < self.pf_min_distance < self.pf_delta:
            raise ValueError(
                f"pf_min_distance must be in (0, pf_delta = {self.pf_delta}), "
                f"got {self.pf_min_distance}"
            )
