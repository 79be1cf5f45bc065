"""One loss term of a step: its figures, and its gradients before weight and clipping.

The gradients of all terms gather on the tokens and go through the tower together.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from saga.training.microbatch import MicroBatch, tensors_of, through_tower
from saga.training.optimizer import Gradients, Parameters
from saga.training.ranks import Ranks


@dataclass(frozen=True, slots=True)
class Term:
    """What one term asks of tokens and head; all of it empty where there was nothing to learn from."""

    name: str
    """"dml", "grpo", "kl" or "oracle"."""
    weight: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    tokens: dict[int, Gradients] = field(default_factory=dict)
    """By the micro-batch's place in the step, a gradient for each tensor of its leaf; this rank's
    share of the sum."""
    head: Gradients = field(default_factory=list)
    """One for each parameter of the head, summed over ranks; empty where the term has none."""
    taught: bool = False
    """Whether there was anything to learn from, on any rank."""


def add_gradients(
    sums: Gradients, gradients: Iterable[Tensor | None], scale: float = 1.0
) -> Gradients:
    """Sums of gradients, where None is nothing."""
    scaled = [g if g is None or scale == 1 else g * scale for g in gradients]
    return [
        g if s is None else s if g is None else s + g for s, g in zip(sums, scaled, strict=True)
    ]


def encoder_gradients(
    terms: Sequence[Term],
    weights: Sequence[float],
    micros: list[MicroBatch],
    parameters: Parameters,
    ranks: Ranks,
    keep: bool = False,
) -> Gradients:
    """θ's gradient of weighted terms: one backward through the tower for each micro-batch.

    Args:
        terms: any of a step's.
        weights: of each.
        micros: the step's micro-batches.
        parameters: what is trained.
        ranks: over whose images is summed.
        keep: whether the tower's graphs stay usable.
    """
    sums: Gradients = [None] * len(parameters.encoder)
    if not parameters.encoder:
        return sums
    for place, micro in enumerate(micros):
        leaves = tensors_of(micro.leaf)
        total: Gradients = [None] * len(leaves)
        for term, weight in zip(terms, weights, strict=True):
            if weight and place in term.tokens:
                total = add_gradients(total, term.tokens[place], weight)
        total = ranks.total(total, leaves)
        sums = add_gradients(sums, through_tower(micro, total, parameters.encoder, keep))
    return ranks.total(sums, parameters.encoder)


def flat(gradients: Gradients, like: Iterable[Tensor]) -> Tensor:
    """Gradients as one vector; zeros where none arrived."""
    return torch.cat(
        [(torch.zeros_like(p) if g is None else g).flatten() for g, p in zip(gradients, like)]
    )
