"""Graphs of a step's batches are kept within a budget, and computed again beyond it."""

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from saga.encoders.tower import VisionTokens
from saga.training.graphs import GraphBudget

PIXELS = 3 * 4 * 4
SAVED = 4 * (PIXELS + 100)
"""Bytes that one image leaves behind: the linear layer's input and the sigmoid's output."""


class Tower(nn.Module):
    """One layer whose output is saved for the backward, with dropout's random numbers."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(PIXELS, 100)

    def forward(self, pixels):
        hidden = nn.functional.dropout(self.layer(pixels.flatten(1)).sigmoid(), 0.5)
        return VisionTokens(hidden[:, None])


def held(budget, pixels):
    """Bytes saved by one more batch, weights aside."""
    weights = {p.untyped_storage().data_ptr() for p in budget._tower.parameters()}
    seen = {}

    def note(x):
        if x.untyped_storage().data_ptr() not in weights:
            seen[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with saved_tensors_hooks(note, lambda x: x):
        tokens = budget.encode(pixels)
    return tokens, sum(seen.values())


def batches(count):
    return [
        torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(i)) for i in range(count)
    ]


@pytest.mark.parametrize(("graphs", "kept"), [(0, 1), (1.5, 1), (2, 2), (3.2, 3)])
def test_so_many_graphs_are_kept_as_the_budget_holds(graphs, kept):
    torch.manual_seed(0)
    tower = Tower()
    probe = GraphBudget(tower, 0)
    probe.encode(batches(1)[0])
    one = int(probe._held)
    assert one >= 5 * SAVED
    budget = GraphBudget(tower, int(graphs * one))
    budget.encode(batches(1)[0])  # measured; nobody else can look on
    for _ in range(2):  # what a step holds does not count in the next one
        budget.begin()
        sizes = [held(budget, pixels)[1] for pixels in batches(4)]
        whole = [size > 5 * 4 * PIXELS for size in sizes]
        assert whole == [True] * kept + [False] * (4 - kept)


def test_gradients_are_those_of_kept_graphs_random_numbers_included():
    torch.manual_seed(0)
    tower = Tower()
    found = []
    for budget_bytes in (0, 1 << 30):
        torch.manual_seed(7)
        budget = GraphBudget(tower, budget_bytes)
        total = sum(budget.encode(pixels).tokens_BND.square().sum() for pixels in batches(3))
        found.append(torch.autograd.grad(total, tower.parameters()))
    for a, b in zip(*found):
        assert torch.equal(a, b) and a.any()


def test_a_frozen_tower_holds_nothing():
    budget = GraphBudget(Tower(), 1 << 30)
    with torch.no_grad():
        assert not budget.encode(batches(1)[0]).tokens_BND.requires_grad
    assert budget._held == 0
