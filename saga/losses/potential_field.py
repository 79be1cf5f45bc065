"""Potential Field metric learning (PFML; Bhatnagar and Ahuja, CVPR 2025, arXiv 2405.18560).

With d = ‖r - z‖₂ on unit vectors, a point z attracts r of its class and repels r of the others:

    ψ_att = -δ^-α if d < δ else -d^-α          ψ_rep = d^-α if d < δ else δ^-α
    U = Σ_i Ψ_{y_i}(z_i) + Σ_j Σ_k Ψ_j(p_jk)

where Ψ_j(r) sums ψ_att over embeddings and proxies of class j and ψ_rep over those of other classes,
itself left out.

Deviation: U is multiplied by δ^α and averaged over ordered pairs. The raw slope at d = δ = 0.2, α = 4 is
about 12,500; unscaled it drowns every other loss. d is clamped from below at 1e-2·δ for the repulsion,
whose potential has a pole at 0.

Shapes: B images, E embedding width, C classes, M proxies a class, R = B + C·M points.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLAMP = 1e-2


class PotentialField(nn.Module):
    """U over a batch and learnable proxies; float32 throughout."""

    def __init__(
        self,
        num_classes: int,
        embedding_dim: int,
        *,
        proxies: int = 15,
        alpha: float = 4.0,
        delta: float = 0.2,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.alpha, self.delta = alpha, delta
        generator = torch.Generator().manual_seed(seed)
        start = torch.randn(num_classes * proxies, embedding_dim, generator=generator)
        self.proxies_PE = nn.Parameter(F.normalize(start, dim=-1))
        self.register_buffer(
            "proxy_labels_P", torch.arange(num_classes).repeat_interleave(proxies), persistent=False
        )

    def forward(self, embeddings_BE: Tensor, labels_B: Tensor) -> Tensor:
        """Mean scaled potential over ordered pairs of points.

        Args:
            embeddings_BE: unit vectors.
            labels_B: class indices in [0, C).

        Raises:
            ValueError: if a label has no proxies.
        """
        proxy_labels_P: Tensor = self.proxy_labels_P  # type: ignore[assignment]
        if int(labels_B.max()) > int(proxy_labels_P.max()) or int(labels_B.min()) < 0:
            raise ValueError(f"labels must be in [0, {int(proxy_labels_P.max())}]")
        points_RE = torch.cat([embeddings_BE.float(), F.normalize(self.proxies_PE, dim=-1)])
        labels_R = torch.cat([labels_B, proxy_labels_P])
        same_RR = labels_R[:, None] == labels_R[None]
        # 2 - 2·cos is exact enough above the clamp and has a finite slope at 0.
        squared_RR = (2 - 2 * points_RE @ points_RE.T).clamp_min((CLAMP * self.delta) ** 2)
        ratio_RR = squared_RR.sqrt() / self.delta
        # δ^α·ψ: attraction -max(d/δ, 1)^-α, repulsion min(d/δ, 1)^-α.
        attraction = -ratio_RR.clamp_min(1.0).pow(-self.alpha)
        repulsion = ratio_RR.clamp_max(1.0).pow(-self.alpha)
        potential_RR = torch.where(same_RR, attraction, repulsion)
        others_RR = ~torch.eye(len(labels_R), dtype=torch.bool, device=labels_R.device)
        return potential_RR[others_RR].mean()
