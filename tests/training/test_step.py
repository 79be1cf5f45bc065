"""One optimizer step against the same step written out plainly, on both families."""

import numpy as np
import pytest
import torch

from saga.data.images import load_image
from saga.encoders.configuration import EncoderConfig, LoraConfig, PoolerConfig
from saga.encoders.retriever import Retriever
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


@pytest.mark.parametrize(("replay_pairs", "beta"), [(1, 0.0), (2, 0.0), (8, 0.0), (2, 0.7)])
def test_a_step_over_several_rounds_and_chunks_has_loss_and_gradient_of_one_plain_graph(
    birds, tiny, prompt, monkeypatch, replay_pairs, beta
):
    # Two pairs contribute in the first round, so that a second one is needed to fill K = 3.
    script_answers(monkeypatch, prompt, lambda p, g: (g + p) % 3 == 0 if p % 2 else p == 2)
    trainer = made_trainer(
        birds, tiny, weights=WEIGHTS, replay_pairs=replay_pairs, reference_beta=beta
    )
    for parameter in trainer.parameters.encoder:  # no longer what the policy may be held to
        parameter.data.add_(0.02)
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
    found_terms = {name: metrics[f"loss/{name}"] for name in terms}
    if beta:
        assert metrics["loss/reference"] > 1e-4
        found_terms["grpo"] += beta * metrics["loss/reference"]
    for name, value in terms.items():
        assert found_terms[name] == pytest.approx(value.item(), rel=1e-4, abs=1e-6), name
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


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_refills_that_are_computed_again_in_the_backward_change_nothing(
    birds, tiny, prompt, monkeypatch, tuning
):
    """Dropout included: the adapters' random numbers must be the same ones."""
    encoder = EncoderConfig(PoolerConfig(), tuning, LoraConfig(rank=2, alpha=8, dropout=0.3))
    results = []
    for graph_gib in (0.0, 1.0):
        with monkeypatch.context() as patched:
            script_answers(patched, prompt, lambda p, g: g == 0 if p in (1, 4, 6) else None)
            trainer = made_trainer(
                birds, tiny, weights=WEIGHTS, encoder=encoder, graph_gib=graph_gib
            )
            for parameter in trainer.parameters.encoder:
                parameter.data.add_(0.02)
            _, micros, _, _ = watched_step(trainer)
            assert len(micros) == 2
            gradients = [p.grad.clone() for p in trainer.parameters.all]
            results.append((gradients, torch.get_rng_state()))
    (ours, state), (plain_gradients, plain_state) = results
    assert torch.equal(state, plain_state)
    for a, b in zip(ours, plain_gradients, strict=True):
        torch.testing.assert_close(a, b, atol=1e-7 + 1e-5 * b.abs().max().item(), rtol=1e-5)


def test_an_adapted_encoder_is_deployed_as_it_was_trained(
    birds, tiny, prompt, monkeypatch, tmp_path
):
    script_answers(monkeypatch, prompt)
    encoder = EncoderConfig(PoolerConfig(), "lora", LoraConfig(rank=2, alpha=8, dropout=0.3))
    arm = made_arm(tiny, encoder=encoder, steps=2, optimizer={"encoder_lr": 0.05})
    trainer = Trainer(arm, birds, made_pairs(birds))
    paths = [birds.image_path(f"{c}-0.png") for c in (1, 2, 3)]
    before = trainer.retriever({}).encode(paths)
    while not trainer.finished:
        trainer.step()
    retriever = trainer.retriever({})
    vectors = retriever.encode(paths)
    assert np.abs(vectors - before).max() > 1e-3
    with torch.no_grad():
        trainer.tower.eval()
        tokens = trainer.tower(retriever.preprocessor([load_image(p) for p in paths])).tokens_BND
        expected = trainer.pooler(tokens).embedding_BE.numpy()
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    retriever.save(tmp_path / "encoder")
    np.testing.assert_array_equal(Retriever.load(tmp_path / "encoder").encode(paths), vectors)
    assert np.array_equal(retriever.encode(paths), vectors), "dropout is over"
