"""L_GRPO: the policy gradient of the verdict (arXiv 2606.15134, Algorithm 1; METHOD section 3).

    A^(g)  = (r^(g) − mean r) / (std r + ε)  within the group of one pair
    L_GRPO = −(1/|T|) Σ_g Σ_t A^(g) log π(y_t^(g) | y_<t, S)

|T| counts the generated tokens of all contributing completions of one optimizer step. It comes from
the caller, who knows the whole buffer: however that is split, the shares' losses and gradients add
up to those of one big batch. The policy is used once, on-policy: the ratio is 1, the clip is idle,
the paper has no reference model. The gradient reaches the encoder's tokens through log π; the pooler
takes no part.

`reference_loss` is ours, off by default: it holds what is said to what the untrained encoder's tokens
would make the model say, so that a reward cannot be earned by descriptions that agree and are wrong.

The paper leaves the kind of standard deviation open; the sample one fits its figure (+0.71/−1.22
for 5 of 8 right) best. "leave_one_out" is an alternative of ours.

Shapes: P pairs, G group size, T generated tokens.
"""

from typing import Literal

import torch
from torch import Tensor

from saga.losses.base import Metrics

Standardise = Literal["sample", "population", "leave_one_out"]
EPSILON = 1e-4


def contributing_pairs(rewards_PG: Tensor) -> Tensor:
    """Pairs (P,) whose completions earned different rewards (σ_r > 0); only they teach."""
    return rewards_PG.amax(1) > rewards_PG.amin(1)


def advantages(
    rewards_PG: Tensor, standardise: Standardise = "sample", eps: float = EPSILON
) -> Tensor:
    """Group advantages (P, G) in float32; exactly 0 in groups of equal rewards.

    Args:
        rewards_PG: rewards of each pair's completions.
        standardise: "sample" and "population" divide by that standard deviation (G − 1 or G under
            the root) plus eps; "leave_one_out" subtracts the mean of the other completions, which
            is (r − mean)·G/(G − 1), and does not divide.
        eps: added to the standard deviation.

    Raises:
        ValueError: if a group has fewer than two completions, a reward is not finite, or
            `standardise` is unknown.
    """
    if rewards_PG.ndim != 2 or rewards_PG.shape[1] < 2:
        raise ValueError(
            "rewards must be (pairs, completions), at least two completions a group, "
            f"got {tuple(rewards_PG.shape)}"
        )
    rewards_PG = rewards_PG.float()
    if not bool(rewards_PG.isfinite().all()):
        raise ValueError("rewards must be finite")
    G = rewards_PG.shape[1]
    centred_PG = rewards_PG - rewards_PG.mean(1, keepdim=True)
    if standardise == "leave_one_out":
        scaled_PG = centred_PG * (G / (G - 1))
    elif standardise in ("sample", "population"):
        correction = 1 if standardise == "sample" else 0
        scaled_PG = centred_PG / (rewards_PG.std(1, correction=correction, keepdim=True) + eps)
    else:
        raise ValueError(
            f"standardise must be sample, population or leave_one_out, got {standardise!r}"
        )
    # The mean of equal rewards may round, and rounding over ε would be an advantage.
    return scaled_PG.masked_fill(~contributing_pairs(rewards_PG)[:, None], 0)


def grpo_loss(
    logp_PGT: Tensor,
    advantages_PG: Tensor,
    inside_PGT: Tensor,
    token_count: int,
    scored_PGT: Tensor | None = None,
    sampled_logp_PGT: Tensor | None = None,
) -> tuple[Tensor, Metrics]:
    """L_GRPO's share of some contributing pairs.

    Args:
        logp_PGT: replayed log-probabilities, with gradient; the padding may hold anything.
        advantages_PG: from `advantages`; taken as constants.
        inside_PGT: True at generated tokens.
        token_count: |T| of the whole step, counted before any forward (of scored tokens only, if
            `scored_PGT` is given).
        scored_PGT: True at tokens that count; None counts all. Tokens that a grammar forced were
            not sampled and deserve no advantage.
        sampled_logp_PGT: log-probabilities at sampling time, to report how far the replay is off.

    Returns:
        the scalar loss, divided by `token_count`, and metrics without gradient: loss, tokens, mean
        advantage of a token, and mean and largest |replayed − sampled| if there is anything to
        compare.

    Raises:
        ValueError: if shapes do not fit, or `token_count` is less than the tokens given here.
    """
    _check(logp_PGT, advantages_PG, inside_PGT, scored_PGT, sampled_logp_PGT)
    counted_PGT = inside_PGT if scored_PGT is None else inside_PGT & scored_PGT
    tokens = int(counted_PGT.sum())
    if token_count < max(tokens, 1):
        raise ValueError(
            f"token_count {token_count} is less than the {max(tokens, 1)} tokens given here; "
            "it must count the whole buffer"
        )
    # Filled, not multiplied: the padding may hold −inf, and 0·(−inf) is not a number.
    logp_PGT = logp_PGT.float().masked_fill(~counted_PGT, 0)
    advantages_PG1 = advantages_PG.detach().float()[..., None]
    loss = -(advantages_PG1 * logp_PGT).sum() / token_count
    metrics: Metrics = {
        "grpo/loss": loss.detach(),
        "grpo/tokens": float(tokens),
        "grpo/advantage": (advantages_PG1 * counted_PGT).sum() / max(tokens, 1),
    }
    if sampled_logp_PGT is not None and tokens:
        gap_PGT = (logp_PGT.detach() - sampled_logp_PGT.float()).abs()
        gap_PGT = gap_PGT.masked_fill(~counted_PGT, 0)
        metrics["grpo/logp_gap"] = gap_PGT.sum() / tokens
        metrics["grpo/logp_gap_max"] = gap_PGT.amax()
    return loss, metrics


def reference_loss(
    logp_PGT: Tensor, reference_logp_PGT: Tensor, inside_PGT: Tensor, token_count: int
) -> Tensor:
    """Distance of the policy from a reference, as a share of the buffer's mean over tokens.

    The estimator of KL(π ‖ π_ref) of GRPO (DeepSeekMath, arXiv 2402.03300, equation 4), a token at a
    time: π_ref/π − log(π_ref/π) − 1. It is never negative, and 0 where both agree.

    Args:
        logp_PGT: replayed log-probabilities, with gradient; the padding may hold anything.
        reference_logp_PGT: of the same tokens under the reference; taken as constants.
        inside_PGT: True at generated tokens.
        token_count: |T| of the whole step.

    Returns:
        a scalar, divided by `token_count`.
    """
    log_ratio_PGT = reference_logp_PGT.detach().float() - logp_PGT.float()
    log_ratio_PGT = log_ratio_PGT.masked_fill(~inside_PGT, 0)
    return (log_ratio_PGT.exp() - log_ratio_PGT - 1).sum() / token_count


def _check(
    logp_PGT: Tensor, advantages_PG: Tensor, inside_PGT: Tensor, *optional: Tensor | None
) -> None:
    shape = logp_PGT.shape
    if logp_PGT.ndim != 3 or advantages_PG.shape != shape[:2]:
        raise ValueError(
            "log-probabilities must be (P, G, T) and advantages (P, G), "
            f"got {tuple(shape)} and {tuple(advantages_PG.shape)}"
        )
    for tensor in (inside_PGT, *optional):
        if tensor is not None and tensor.shape != shape:
            raise ValueError(
                f"masks and sampled log-probabilities must be {tuple(shape)}, "
                f"got {tuple(tensor.shape)}"
            )
    if inside_PGT.dtype != torch.bool:
        raise ValueError(f"inside must be a boolean mask, got {inside_PGT.dtype}")
