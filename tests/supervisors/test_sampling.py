"""Draws equal those from the whole ordered distribution, by whichever short way."""

import pytest
import torch

from saga.supervisors import sampling
from saga.supervisors.sampling import FEW, sample


def naive(logp_V, uniform, top_p, limit):
    """Token by token: the nucleus in order, then the share the number falls in."""
    order = sorted(range(len(logp_V)), key=lambda v: (-float(logp_V[v]), v))[:limit]
    nucleus, mass = [], 0.0
    for v in order:
        if mass >= top_p:
            break
        nucleus.append(v)
        mass += float(logp_V[v].exp())
    reached = 0.0
    for v in nucleus:
        reached += float(logp_V[v].exp())
        if uniform * mass < reached:
            return v
    return nucleus[-1]


def drawn(spread, top_p, vocabulary=60, rows=200):
    """Distributions with many equal values, as half precision makes them."""
    generator = torch.Generator().manual_seed(0)
    logits = (torch.randn(rows, vocabulary, generator=generator) * spread).bfloat16().float()
    logits = (logits * 4).round() / 4
    return logits.log_softmax(-1), torch.rand(rows, generator=generator), top_p


@pytest.mark.parametrize("looking", [True, False])
@pytest.mark.parametrize(("spread", "top_p"), [(4.0, 0.9), (0.5, 0.95), (0.1, 1.0), (2.0, 0.01)])
def test_draws_are_those_of_the_ordered_nucleus(monkeypatch, looking, spread, top_p):
    """With and without a first look at the few likeliest; peaked and flat."""
    monkeypatch.setattr(sampling, "looking_is_free", lambda device: looking)
    logp, uniform, top_p = drawn(spread, top_p)
    expected = [naive(x, float(u), top_p, len(x)) for x, u in zip(logp, uniform)]
    assert sample(logp, uniform, top_p).tolist() == expected


@pytest.mark.parametrize("looking", [True, False])
def test_a_nucleus_has_at_most_its_limit(monkeypatch, looking):
    monkeypatch.setattr(sampling, "looking_is_free", lambda device: looking)
    monkeypatch.setattr(sampling, "NUCLEUS_LIMIT", 20)
    _, uniform, top_p = drawn(0.1, 0.95)
    logp = (torch.randn(200, 60, generator=torch.Generator().manual_seed(1)) / 10).log_softmax(-1)
    expected = [naive(x, float(u), top_p, 20) for x, u in zip(logp, uniform)]
    assert sample(logp, uniform, top_p).tolist() == expected


def test_a_row_is_drawn_the_same_whatever_the_others_need():
    """One flat row sends the whole batch the long way."""
    logp, uniform, top_p = drawn(20.0, 0.9)
    alone = sample(logp, uniform, top_p)
    assert (logp.exp().sort(descending=True).values[:, :FEW].sum(-1) > top_p).all()
    flat = torch.zeros(1, logp.shape[1]).log_softmax(-1)
    together = sample(torch.cat([logp, flat]), torch.cat([uniform, torch.tensor([0.5])]), top_p)
    assert torch.equal(together[:-1], alone)
