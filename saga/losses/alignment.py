"""L_KL: attention alignment (METHOD section 3).

    L_KL = KL(ᾱ_a ‖ β_a) + KL(ᾱ_b ‖ β_b)

ᾱ is the supervisor's mean attention over the tokens that describe an image, on completions whose verdict
was right; β are the pooler's weights over the same patches. Gradient reaches the pooler alone: the
teacher and the pooler's input are detached. Normalised by itself: the mean over images and queries.

Shapes: R images, Q pooler queries, N tokens.
"""

from torch import Tensor

FLOOR = 1e-9
SIMPLEX_TOLERANCE = 1e-3


def alignment_loss(
    teacher_RQN: Tensor, log_weights_RQN: Tensor, count: int
) -> tuple[Tensor, dict[str, float]]:
    """KL(teacher ‖ pooler), summed over images and queries and divided by `count`.

    Args:
        teacher_RQN: the supervisor's renormalised attention; no gradient.
        log_weights_RQN: the pooler's log β.
        count: images times queries of the whole step.

    Raises:
        ValueError: if shapes differ, the teacher has a gradient, or a row is no distribution.
    """
    if teacher_RQN.shape != log_weights_RQN.shape:
        raise ValueError(
            f"teacher {tuple(teacher_RQN.shape)} and pooler {tuple(log_weights_RQN.shape)} differ"
        )
    if teacher_RQN.requires_grad:
        raise ValueError("the teacher must be detached: alignment teaches the pooler alone")
    teacher = teacher_RQN.float()
    for name, rows in (("teacher", teacher), ("pooler", log_weights_RQN.detach().float().exp())):
        if ((rows.sum(-1) - 1).abs() > SIMPLEX_TOLERANCE).any() or (rows < 0).any():
            raise ValueError(f"rows of the {name} must be distributions over the tokens")
    entropy = teacher * teacher.clamp_min(FLOOR).log()
    loss = (entropy - teacher * log_weights_RQN.float()).sum() / count
    return loss, {"alignment/loss": float(loss.detach())}
