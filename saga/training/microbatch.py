"""A class-balanced batch of images on its way through the tower.

Every loss works on a detached copy of the tower's tokens, and the gradients that gather there go back
through the tower once, at the end of the step (GradCache). So the language model's graph is that of
some pairs at a time, whatever their number.

Shapes: B images, P pairs, N tokens, D width.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from saga.encoders.tower import VisionTokens
from saga.mining.disagreement import Choice
from saga.training.optimizer import Gradients


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Tokens of a batch, with and without their graph, and the pairs drawn from it."""

    tokens: VisionTokens
    """With the graph to θ; of this rank's images."""
    leaf: VisionTokens
    """The same values in float32, detached, collecting gradient; of all images."""
    labels_B: Tensor
    pairs: list[tuple[int, int, bool]]
    """(first, second, same class) as positions in the batch."""
    rows: list[int] = field(default_factory=list)
    """The training row of each image."""
    choice: Choice | None = None
    """How the pairs were chosen; None where all that were drawn are here."""
    own: slice = field(default_factory=lambda: slice(None))
    """This rank's images: those that `tokens` has; `leaf` has all."""
    reference: VisionTokens | None = None
    """What the untrained tower makes of all images; None where nothing is held to it."""

    @property
    def finite(self) -> bool:
        """Whether the tower gave numbers."""
        return all(bool(x.isfinite().all()) for x in tensors_of(self.leaf))

    def pair_tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """First and second positions (P,) and whether each pair is of one class (P,)."""
        first, second, same = zip(*self.pairs) if self.pairs else ((), (), ())
        return (
            torch.tensor(first, dtype=torch.long),
            torch.tensor(second, dtype=torch.long),
            torch.tensor(same, dtype=torch.bool),
        )


def leaf_of(tokens: VisionTokens) -> VisionTokens:
    """A detached copy that collects gradient.

    In float32: what many pairs and chunks of them contribute is summed here, and bfloat16 would
    round every sum.
    """
    return VisionTokens(_leaf(tokens.tokens_BND), tuple(map(_leaf, tokens.deepstack)))


def tensors_of(tokens: VisionTokens) -> list[Tensor]:
    """All tensors of some tokens, deepstack levels last."""
    return [tokens.tokens_BND, *tokens.deepstack]


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().float().requires_grad_(True)


def through_tower(
    micro: MicroBatch, gradients: Gradients, parameters: list[nn.Parameter], keep: bool = False
) -> Gradients:
    """Gradients of θ from gradients of the tokens, over this rank's images.

    Args:
        micro: whose graph is used.
        gradients: one per tensor of `tensors_of(micro.leaf)`; None where nothing arrived.
        parameters: θ.
        keep: whether the graph stays usable.
    """
    arrived = [
        (out, grad[micro.own].to(out.dtype))
        for out, grad in zip(tensors_of(micro.tokens), gradients)
        if grad is not None
    ]
    if not arrived or not parameters:
        return [None] * len(parameters)
    outputs, grads = zip(*arrived)
    return list(
        torch.autograd.grad(outputs, parameters, grads, retain_graph=keep, allow_unused=True)
    )
