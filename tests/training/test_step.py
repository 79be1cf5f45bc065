"""One optimizer step against the same step written out plainly, on both families."""

import pytest
import torch

from saga.training.trainer import Trainer
from tests.training.made import made_arm, made_pairs, script_answers
from tests.training.naive import total_loss


def watched_step(trainer):
    """A step's metrics, and what went into it."""
    gather, kept = trainer._gather, {}
    pixels, encode = [], trainer.store.pixels

    def spy():
        kept["micros"], kept["buffer"] = gather()
        return kept["micros"], kept["buffer"]

    def spy_pixels(indices):
        pixels.append(encode(indices))
        return pixels[-1]

    trainer._gather, trainer.store.pixels = spy, spy_pixels
    metrics = trainer.step()
    return metrics, kept["micros"], pixels, kept["buffer"]


def made_trainer(birds, supervisor, **settings):
    """Unclipped and without weight decay; the pooler already looks somewhere."""
    optimizer = {"clip_norm": 1e9, "weight_decay": 0.0}
    arm = made_arm(supervisor, optimizer=optimizer | settings.pop("optimizer", {}), **settings)
    trainer = Trainer(arm, birds, made_pairs(birds))
    with torch.no_grad():
        for parameter in trainer.parameters.pooler:
            parameter.add_(
                0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2))
            )
    return trainer


def names_of(trainer):
    """Every trained parameter with its name."""
    modules = {"tower": trainer.tower, "pooler": trainer.pooler, "proxies": trainer.metric_loss}
    named = [(f"{k}.{n}", p) for k, m in modules.items() for n, p in m.named_parameters()]
    trained = {id(p) for p in trainer.parameters.all}
    return {name: p for name, p in named if id(p) in trained}


WEIGHTS = (0.5, 2.0, 3.0)


@pytest.mark.parametrize("replay_pairs", [1, 2, 8])
def test_a_step_over_several_rounds_and_chunks_has_loss_and_gradient_of_one_plain_graph(
    birds, tiny, prompt, monkeypatch, replay_pairs
):
    # Two pairs contribute in the first round, so that a second one is needed to fill K = 3.
    script_answers(monkeypatch, prompt, lambda p, g: (g + p) % 3 == 0 if p % 2 else p == 2)
    trainer = made_trainer(birds, tiny, weights=WEIGHTS, replay_pairs=replay_pairs)
    # Before the step moves anything: what the plain graph gives.
    parameters = names_of(trainer)
    start = {name: p.detach().clone() for name, p in parameters.items()}
    metrics, micros, pixels, buffer = watched_step(trainer)
    assert (len(micros), len(buffer.rounds), buffer.kept) == (2, 2, 3)
    found = {name: None if p.grad is None else p.grad.clone() for name, p in parameters.items()}
    with torch.no_grad():
        for name, p in parameters.items():
            p.copy_(start[name])
    total, terms = total_loss(trainer, micros, pixels, buffer)
    for name, value in terms.items():
        assert metrics[f"loss/{name}"] == pytest.approx(value.item(), rel=1e-4, abs=1e-6), name
    expected = torch.autograd.grad(total, list(parameters.values()))
    for name, gradient in zip(parameters, expected):
        scale = gradient.abs().max().item()
        torch.testing.assert_close(
            found[name],
            gradient,
            atol=2e-4 * scale + 1e-7,
            rtol=1e-3,
            msg=lambda text, n=name: f"{n}: {text}",
        )
    norm = torch.cat([g.flatten() for g in expected]).norm().item()
    assert metrics["gradient/total"] == pytest.approx(norm, rel=1e-3)
