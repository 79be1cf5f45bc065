"""AdamW with one group each for encoder, pooler and proxies; warm-up, cosine, clipping."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from saga.training.configuration import OptimizerConfig

Gradients = list[Tensor | None]


@dataclass(frozen=True, slots=True)
class Parameters:
    """What is trained, by role."""

    encoder: list[nn.Parameter]
    """θ; empty when the encoder is frozen."""
    pooler: list[nn.Parameter]
    """φ."""
    proxies: list[nn.Parameter]
    """Proxies of the metric loss."""

    @property
    def head(self) -> list[nn.Parameter]:
        """Everything that sits on the tokens: pooler and proxies."""
        return [*self.pooler, *self.proxies]

    @property
    def all(self) -> list[nn.Parameter]:
        """Everything."""
        return [*self.encoder, *self.head]

    def groups(self) -> list[list[nn.Parameter]]:
        """The non-empty groups."""
        return [group for group in (self.encoder, self.pooler, self.proxies) if group]


def build_optimizer(parameters: Parameters, config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW over the groups; each remembers its peak rate as `peak_lr`."""
    rates = (
        (parameters.encoder, config.encoder_lr, config.weight_decay),
        (parameters.pooler, config.pooler_lr, config.weight_decay),
        (parameters.proxies, config.pooler_lr * config.proxy_lr_multiplier, 0.0),
    )
    groups = [
        {"params": params, "lr": rate, "peak_lr": rate, "weight_decay": decay}
        for params, rate, decay in rates
        if params
    ]
    return torch.optim.AdamW(groups, betas=config.betas)


def schedule(step: int, steps: int, warmup_fraction: float) -> float:
    """Share of the peak rate at a step (0-based): linear warm-up, then cosine to 0."""
    warmup = max(1.0, warmup_fraction * steps)
    return min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * step / steps))


def set_rates(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Set every group's rate to a share of its peak."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * share


def norm(gradients: Sequence[Tensor | None]) -> float:
    """Euclidean norm over some gradients."""
    present = [g for g in gradients if g is not None]
    return float(nn.utils.get_total_norm(present)) if present else 0.0


def add_scaled(parameters: list[nn.Parameter], gradients: Gradients, scale: float) -> None:
    """Add scaled gradients to the parameters' own."""
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is None or scale == 0:
            continue
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        parameter.grad.add_(gradient.to(parameter.grad.dtype), alpha=scale)


def clip(parameters: Parameters, config: OptimizerConfig) -> float:
    """Clip in place; returns the norm over all parameters before."""
    before = norm([p.grad for p in parameters.all])
    scopes = [parameters.all] if config.clip_scope == "global" else parameters.groups()
    for scope in scopes:
        nn.utils.clip_grad_norm_(scope, config.clip_norm)
    return before
