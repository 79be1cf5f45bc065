"""The tower's forward passes of one step within a memory budget.

Nobody knows beforehand how many refills a step will need. Graphs are kept as long as they fit the
budget; beyond it only the pixels are, and the backward computes the rest again, with the same random
numbers. The first batch of a step always keeps its graph.

Shapes: B images, S side in pixels.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

from saga.encoders.tower import VisionTokens


class GraphBudget:
    """Decides, batch by batch, whether a graph is kept."""

    def __init__(self, tower: nn.Module, budget_bytes: int) -> None:
        """Of one tower; the budget is for the graphs of all batches of a step."""
        self._tower, self._budget = tower, budget_bytes
        self._per_image = 0.0
        self._held = 0.0
        self._batches = 0

    def begin(self) -> None:
        """A new step: no graph is held."""
        self._held, self._batches = 0.0, 0

    def encode(self, pixels_B3SS: Tensor) -> VisionTokens:
        """Tokens of a batch, with a graph if gradients are on."""
        need = self._per_image * len(pixels_B3SS)
        kept = self._batches == 0 or self._held + need <= self._budget
        self._batches += 1
        if not torch.is_grad_enabled():
            return self._tower(pixels_B3SS)
        if not kept:
            return checkpoint(self._tower, pixels_B3SS, use_reentrant=False)
        if not self._per_image:
            tokens, saved = _measured(self._tower, pixels_B3SS)
            self._per_image = saved / len(pixels_B3SS)
            self._held += saved
            return tokens
        self._held += need
        return self._tower(pixels_B3SS)


def _measured(tower: nn.Module, pixels_B3SS: Tensor) -> tuple[VisionTokens, int]:
    """Tokens, and the bytes that their graph holds besides the weights."""
    own = {p.untyped_storage().data_ptr() for p in tower.parameters()}
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        tokens = tower(pixels_B3SS)
    return tokens, sum(sizes.values())
