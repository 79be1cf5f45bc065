"""Potential Field metric learning (PFML; Bhatnagar & Ahuja, CVPR 2025, arXiv 2405.18560).

Every embedding and every proxy is a charge that attracts its own class and repels the others, and
the force falls with distance, so far outliers pull little. With d = ‖r − z‖₂ between unit vectors:

    ψ_att(d) = −δ^{−α} if d < δ else −d^{−α}        ψ_rep(d) = d^{−α} if d < δ else δ^{−α}
    Ψ_j(r)   = Σ_{charges of class j} ψ_att + Σ_{charges of other classes} ψ_rep
    U        = Σ_i Ψ_{y_i}(z_i) + Σ_j Σ_k Ψ_j(p_jk)
    L        = δ^α · U / (number of ordered pairs)

Deviations, all from METHOD section 3: self pairs are left out; d is clamped from below, since
repulsion has a pole at 0; float32 also under autocast; and the factor δ^α with the mean over
ordered pairs: the raw slope at d = δ = 0.2, α = 4 is 12,500, which drowns the other losses. With
the factor it is α/δ = 20, and ψ_att = −min(δ/d, 1)^α, ψ_rep = max(δ/d, 1)^α, which is what is
computed.

With N = B + C·M charges an embedding is in 2(N − 1) of the N(N − 1) ordered pairs, so its gradient
falls as 1/N when classes are added; mind this when the loss is weighted against the others.

Shapes: B images, C classes, M proxies per class, E embedding width, N charges, R rows of a block.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from saga.losses.base import MetricLoss, Metrics
from saga.losses.configuration import MetricLossConfig

BLOCK_ROWS = 2048
"""Rows of the distance matrix at once: with 11,000 proxies (iNat-Aves) it takes gigabytes whole."""


class PotentialField(MetricLoss):
    """The field's energy, averaged over ordered pairs of distinct charges."""

    def __init__(self, config: MetricLossConfig, num_classes: int, embedding_dim: int) -> None:
        super().__init__(config, num_classes, embedding_dim)
        proxies_CME = torch.randn(num_classes, config.pf_proxies, embedding_dim)
        self.proxies_CME = nn.Parameter(F.normalize(proxies_CME, dim=-1))

    def _loss(self, embeddings_BE: Tensor, labels_B: Tensor) -> tuple[Tensor, Metrics]:
        # A proxy's length is free to drift; only its direction is used.
        proxies = self.proxies_CME.flatten(0, 1).to(embeddings_BE.dtype)
        charges_NE = F.normalize(torch.cat([embeddings_BE, proxies]), dim=-1)
        owners = torch.arange(self.num_classes, device=labels_B.device)
        classes_N = torch.cat([labels_B, owners.repeat_interleave(self.config.pf_proxies)])
        return self._energy(charges_NE, classes_N)

    def _energy(self, charges_NE: Tensor, classes_N: Tensor) -> tuple[Tensor, Metrics]:
        """Mean energy a pair, over blocks of rows; several are recomputed in the backward."""
        N = len(charges_NE)
        rows = torch.arange(N, device=charges_NE.device).split(BLOCK_ROWS)
        if len(rows) == 1:
            blocks = [self._block(rows[0], charges_NE, classes_N)]
        else:
            blocks = [
                checkpoint(self._block, r, charges_NE, classes_N, use_reentrant=False) for r in rows
            ]
        energy = torch.stack([energy for energy, _ in blocks]).sum()
        same, same_inside, inside = torch.stack([counts for _, counts in blocks]).sum(0)
        others = N * (N - 1) - same
        return energy / (N * (N - 1)), {
            "potential_field/same_inside": same_inside / same.clamp_min(1),
            "potential_field/other_inside": (inside - same_inside) / others.clamp_min(1),
        }

    def _block(
        self, rows_R: Tensor, charges_NE: Tensor, classes_N: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Energy of some rows against all charges; counts of (same, same inside δ, inside δ)."""
        square_RN = 2 - 2 * charges_NE[rows_R] @ charges_NE.T
        # Clamped before the root: below, the gradient is 0 and never the root's infinite slope.
        distance_RN = square_RN.clamp_min(self.config.pf_min_distance**2).sqrt()
        ratio_RN = self.config.pf_delta / distance_RN
        distinct_RN = rows_R[:, None] != torch.arange(len(charges_NE), device=rows_R.device)
        same_RN = classes_N[rows_R, None] == classes_N
        bounded_RN = torch.where(same_RN, ratio_RN.clamp_max(1), ratio_RN.clamp_min(1))
        potential_RN = bounded_RN.pow(self.config.pf_alpha)
        signed_RN = torch.where(same_RN, -potential_RN, potential_RN)
        same_RN, inside_RN = same_RN & distinct_RN, (ratio_RN > 1) & distinct_RN
        counts = torch.stack([m.sum() for m in (same_RN, same_RN & inside_RN, inside_RN)])
        return signed_RN.masked_fill(~distinct_RN, 0).sum(), counts
