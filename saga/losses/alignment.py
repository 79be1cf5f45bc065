"""L_KL: attention alignment (arXiv 2606.15134, section 3.4; METHOD section 3).

    L_KL = KL(ᾱ_a ‖ β_a) + KL(ᾱ_b ‖ β_b),   KL(ᾱ ‖ β) = Σ_n ᾱ_n (log ᾱ_n − log β_n)

ᾱ is the supervisor's mean attention over the tokens that describe an image, on completions whose
verdict was right; β are the pooler's weights over the same patches. Gradient reaches the pooler
alone: the teacher is constant and the caller pools detached tokens. Normalised by itself: the mean
over images and queries.

Deviation: a pooler may have several queries, each with a teacher of its own (one attribute's map).
β comes as its logarithm: a weight that underflows to 0 would lose its gradient.

Shapes: R images, Q pooler queries, N patches.
"""

import torch
from torch import Tensor

from saga.losses.base import Metrics

TOLERANCE = {torch.bfloat16: 5e-2, torch.float16: 1e-2}
"""How far a row's sum may be from 1, by precision; from float32 on 1e-3."""


def alignment_loss(
    teacher_RQN: Tensor, log_weights_RQN: Tensor, count: int
) -> tuple[Tensor, Metrics]:
    """KL(teacher ‖ pooler), summed over images and queries and divided by `count`.

    Args:
        teacher_RQN: the supervisor's renormalised attention; rows sum to 1; no gradient.
        log_weights_RQN: the pooler's log β.
        count: images times queries of the whole step, so that shares of it add up.

    Returns:
        the scalar loss and metrics without gradient: mean KL of the rows given here, mean entropy
        of teacher and of pooler in nats (log N is uniform), and the number of rows.

    Raises:
        ValueError: if shapes differ, the teacher has a gradient, a row is no distribution, or
            `count` is less than the rows given here.
    """
    if teacher_RQN.ndim != 3 or teacher_RQN.shape != log_weights_RQN.shape:
        raise ValueError(
            "teacher and pooler weights must both be (R, Q, N), "
            f"got {tuple(teacher_RQN.shape)} and {tuple(log_weights_RQN.shape)}"
        )
    if teacher_RQN.requires_grad:
        raise ValueError("the teacher must be detached: alignment teaches the pooler alone")
    rows = teacher_RQN.shape[:2].numel()
    if rows == 0 or count < rows:
        raise ValueError(
            f"count must be at least the {rows} rows given (at least one), got {count}"
        )
    check_simplex("teacher", teacher_RQN)
    check_simplex("pooler weights", log_weights_RQN.detach().exp())
    log_beta_RQN = log_weights_RQN.to(torch.promote_types(log_weights_RQN.dtype, torch.float32))
    alpha_RQN = teacher_RQN.to(log_beta_RQN.dtype)
    # Where the teacher is 0 so is the term, even if log β is −inf.
    cross = torch.where(alpha_RQN > 0, alpha_RQN * log_beta_RQN, 0).sum()
    total = torch.xlogy(alpha_RQN, alpha_RQN).sum() - cross
    return total / count, {
        "alignment/kl": total.detach() / rows,
        "alignment/teacher_entropy": _entropy(alpha_RQN) / rows,
        "alignment/pooler_entropy": _entropy(log_beta_RQN.detach().exp()) / rows,
        "alignment/rows": float(rows),
    }


def check_simplex(name: str, weights: Tensor) -> None:
    """Refuse weights whose rows (last dimension) are not probability distributions.

    Raises:
        ValueError: with the worst row's sum.
    """
    off = (weights.float().sum(-1) - 1).abs().nan_to_num(torch.inf)
    if float(off.max()) > TOLERANCE.get(weights.dtype, 1e-3) or bool((weights < 0).any()):
        raise ValueError(
            f"{name}: rows must be distributions over the patches (at least 0, sum 1); a sum is "
            f"off by {float(off.max()):.4g}, the smallest weight is {float(weights.min()):.4g}"
        )


def _entropy(weights: Tensor) -> Tensor:
    return -torch.xlogy(weights, weights).sum()
