"""What each term's gradient reaches, what moves, and what never does."""

import dataclasses

import pytest
import torch

from saga.encoders.configuration import EncoderConfig, LoraConfig, PoolerConfig
from saga.supervisors.backbone import Backbone
from saga.supervisors.checkpoint import load_checkpoint
from saga.training.trainer import Trainer, train
from tests.training.made import EMBEDDED, made_arm, made_pairs, script_answers
from tests.training.test_step import made_trainer, names_of

LORA = EncoderConfig(PoolerConfig(normalize_keys=True), "lora", LoraConfig(rank=2, alpha=4))


def language_weights(model):
    """Everything of a multimodal model but its vision half."""
    return {
        name: value.clone()
        for name, value in model.state_dict().items()
        if not any(part in name for part in ("visual", "vision_tower", "multi_modal_projector"))
    }


def reached(trainer):
    """Names of the parameters with a gradient that is not zero, by role."""
    found = {"tower": set(), "pooler": set(), "proxies": set()}
    for name, parameter in names_of(trainer).items():
        if parameter.grad is not None and parameter.grad.any():
            role, _, rest = name.partition(".")
            found[role].add(rest)
    return found


def all_names(trainer):
    names = {"tower": set(), "pooler": set(), "proxies": set()}
    for name in names_of(trainer):
        role, _, rest = name.partition(".")
        names[role].add(rest)
    return names


def without_key_bias(names):
    """A bias of all keys moves a query's scores alike: softmax does not see it."""
    return {name for name in names if not name.endswith("k_proj.bias")}


@pytest.mark.parametrize("encoder", [None, LORA], ids=["full", "lora"])
def test_the_verdict_reaches_the_encoder_alone(birds, tiny, prompt, monkeypatch, encoder):
    script_answers(monkeypatch, prompt)
    trainer = made_trainer(birds, tiny, weights=(0.0, 1.0, 0.0), encoder=encoder)
    if encoder is not None:  # fresh adapters: B is 0, and so is A's gradient
        with torch.no_grad():
            for parameter in trainer.parameters.encoder:
                parameter.add_(0.1)
    trainer.step()
    found, names = reached(trainer), all_names(trainer)
    assert without_key_bias(found["tower"]) == without_key_bias(names["tower"])
    assert found["pooler"] == found["proxies"] == set()


def test_alignment_reaches_the_poolers_query_and_key_alone(birds, tiny, prompt, monkeypatch):
    script_answers(monkeypatch, prompt)
    trainer = made_trainer(birds, tiny, weights=(0.0, 0.0, 1.0))
    trainer.step()
    assert reached(trainer) == {
        "tower": set(),
        "pooler": {"query_QD", "key_DD"},
        "proxies": set(),
    }


def test_the_metric_loss_reaches_encoder_pooler_and_proxies(birds, tiny):
    trainer = made_trainer(birds, tiny, weights=(1.0, 0.0, 0.0))
    trainer.step()
    found, names = reached(trainer), all_names(trainer)
    # Embeddings are pooled from the tokens; deepstack features are the language model's alone.
    deepstack = {name for name in names["tower"] if "deepstack" in name}
    assert without_key_bias(found["tower"]) == without_key_bias(names["tower"] - deepstack)
    assert found["pooler"] == names["pooler"] and found["proxies"] == names["proxies"]


@pytest.mark.parametrize("encoder", [None, LORA], ids=["full", "lora"])
def test_every_trained_parameter_moves_and_no_frozen_one_does(
    birds, tiny, prompt, monkeypatch, encoder
):
    script_answers(monkeypatch, prompt)
    # No weight decay: what moves is moved by a gradient.
    arm = made_arm(
        tiny, encoder=encoder, steps=3, optimizer={"weight_decay": 0.0, "warmup_fraction": 0.0}
    )
    trainer = Trainer(arm, birds, made_pairs(birds))
    language = language_weights(trainer.supervisor.backbone.model)
    trained = {name: p.detach().clone() for name, p in names_of(trainer).items()}
    frozen = {
        name: p.detach().clone()
        for module in (trainer.tower, trainer.pooler)
        for name, p in module.named_parameters()
        if not p.requires_grad
    }
    assert bool(frozen) == (encoder is not None) and language
    while not trainer.finished:
        trainer.step()
    still = [n for n, p in names_of(trainer).items() if torch.equal(p, trained[n])]
    assert not still, f"never moved: {still}"
    after = dict(trainer.tower.named_parameters())
    moved = [name for name, value in frozen.items() if not torch.equal(after[name], value)]
    assert not moved, f"frozen, but moved: {moved}"
    now = language_weights(trainer.supervisor.backbone.model)
    changed = [name for name, value in language.items() if not torch.equal(now[name], value)]
    assert not changed, f"the language model moved: {changed}"
    assert all(p.grad is None for n, p in language_parameters(trainer))


def language_parameters(trainer):
    model = trainer.supervisor.backbone.model
    yield from model.model.language_model.named_parameters()
    yield from model.lm_head.named_parameters()


def test_the_key_projection_stands_still_in_the_very_first_step_only(
    birds, tiny, prompt, monkeypatch
):
    script_answers(monkeypatch, prompt)
    arm = made_arm(tiny, optimizer={"weight_decay": 0.0, "warmup_fraction": 0.0})
    trainer = Trainer(arm, birds, made_pairs(birds))
    start = trainer.pooler.key_DD.detach().clone()
    trainer.step()
    assert torch.equal(trainer.pooler.key_DD, start)
    trainer.step()
    assert not torch.equal(trainer.pooler.key_DD, start)


def test_a_frozen_encoder_stays_as_it_was_while_the_pooler_learns(birds, tiny, prompt, monkeypatch):
    script_answers(monkeypatch, prompt)
    frozen = EncoderConfig(PoolerConfig(), "frozen")
    for arm in (
        made_arm(tiny, (1.0, 0.0, 1.0), encoder=frozen, steps=2),
        made_arm(tiny, (1.0, 0.0, 1.0), optimizer={"encoder_lr": 0.0}, steps=2),
    ):
        original = load_checkpoint(tiny).tower.state_dict()
        retriever, _ = train(arm, birds, made_pairs(birds))
        for name, value in retriever.tower.state_dict().items():
            assert torch.equal(value, original[name]), name
        assert retriever.pooler.query_QD.any()


# The arms ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "weights, losses",
    [
        ((1.0, 0.0, 0.0), {"loss/dml"}),
        ((1.0, 0.0, 1.0), {"loss/dml", "loss/kl"}),
        ((1.0, 1.0, 0.0), {"loss/dml", "loss/grpo"}),
        ((1.0, 1.0, 1.0), {"loss/dml", "loss/grpo", "loss/kl"}),
        ((0.0, 1.0, 1.0), {"loss/grpo", "loss/kl"}),
    ],
    ids=["dml", "+kl", "+grpo", "saga", "no dml"],
)
def test_an_arm_has_the_terms_of_its_weights(birds, weights, losses):
    arm = made_arm(EMBEDDED, weights, steps=2, max_rounds=2)
    retriever, history = train(arm, birds, made_pairs(birds))
    found = {name for name in history.frame.columns if name.startswith("loss/")}
    assert found == losses
    assert history.frame[sorted(losses)].notna().any().all()
    assert ("rollout/reward" in history.frame) == (losses != {"loss/dml"})
    assert retriever.encode([birds.image_path("1-0.png")]).shape == (1, retriever.embedding_dim)


def test_an_arm_without_supervision_never_touches_the_language_model(birds, tiny, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the language model was used")

    for name in ("hidden", "logits", "embed", "embed_pairs", "prefix"):
        monkeypatch.setattr(Backbone, name, refuse)
        for family in Backbone.__subclasses__():
            monkeypatch.setattr(family, name, refuse)
    arm = made_arm(tiny, (1.0, 0.0, 0.0), steps=2)
    trainer = Trainer(arm, birds, made_pairs(birds))
    assert trainer.supervisor is None
    metrics = trainer.step()
    assert not any(name.startswith("rollout/") for name in metrics)
    with pytest.raises(AssertionError, match="the language model was used"):
        Trainer(made_arm(tiny), birds, made_pairs(birds))


def test_the_generic_prompt_teaches_by_its_verdict_alone(birds, tiny, monkeypatch):
    generic = dataclasses.replace(tiny, prompt="generic")
    script_answers(monkeypatch, "generic")
    _, history = train(
        made_arm(generic, (1.0, 1.0, 0.0), steps=1, max_rounds=1), birds, made_pairs(birds)
    )
    row = history.frame.iloc[0]
    assert row["rollout/parsed"] == 1 and row["gradient/theta_grpo"] > 0
    assert row["rollout/reward"] == 0.5 and row["rollout/kept"] == 3


def test_both_arms_of_a_comparison_see_the_same_first_batches(birds):
    """Equal seeds give equal batches as long as no refill is needed."""
    batches = []
    for weights in ((1.0, 0.0, 0.0), (1.0, 1.0, 1.0)):
        arm = made_arm(EMBEDDED, weights, steps=3, max_rounds=1)
        trainer = Trainer(arm, birds, made_pairs(birds))
        seen, pixels = [], trainer.store.pixels
        trainer.store.pixels = lambda i, seen=seen, pixels=pixels: seen.append(list(i)) or pixels(i)
        for _ in range(3):
            trainer.step()
        batches.append(seen)
    assert batches[0] == batches[1] and len(batches[0]) == 3
