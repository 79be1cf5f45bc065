"""What of the tower is trained: everything, adapters, nothing."""

import copy

import pytest
import torch
from torch import nn

from saga.encoders.configuration import EncoderConfig, LoraConfig
from saga.encoders.tuning import AdaptedTower, finished_tower, prepare_tower
from saga.errors import UserInputError
from tests.encoders.test_towers import random_pixels


@pytest.fixture
def tower(checkpoint):
    return copy.deepcopy(checkpoint.tower)


def adapted(tower, **settings):
    """A tower with adapters that are no longer those it starts with, which add nothing."""
    lora = LoraConfig(**({"rank": 2, "alpha": 4} | settings))
    made = prepare_tower(tower, EncoderConfig(tuning="lora", lora=lora))
    with torch.no_grad():
        for parameter in trainable(made).values():
            parameter.normal_(0, 0.3, generator=torch.Generator().manual_seed(parameter.numel()))
    return made


def trainable(module):
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


def tensors(tokens):
    return [tokens.tokens_BND, *tokens.deepstack]


@pytest.mark.parametrize("tuning", ["full", "frozen"])
def test_all_or_nothing_of_the_tower_is_trained(tower, tuning):
    prepared = prepare_tower(tower, EncoderConfig(tuning=tuning))
    assert prepared is tower and finished_tower(prepared) is tower
    parameters = list(prepared.parameters())
    assert len(trainable(prepared)) == (len(parameters) if tuning == "full" else 0)


def test_fresh_adapters_change_nothing(tower):
    before = tower(random_pixels(2, 64)).tokens_BND
    made = prepare_tower(tower, EncoderConfig(tuning="lora"))
    assert torch.equal(made(random_pixels(2, 64)).tokens_BND, before)


def test_only_adapters_are_trained_and_each_gets_a_gradient(tower):
    weights = {name: p.clone() for name, p in tower.named_parameters()}
    made = adapted(tower)
    names = trainable(made)
    assert names and all("lora_" in name for name in names)
    frozen = [n for n, p in made.named_parameters() if not p.requires_grad]
    assert len(frozen) == len(weights)
    sum(x.square().sum() for x in tensors(made(random_pixels(2, 64)))).backward()
    silent = [n for n, p in names.items() if p.grad is None or not p.grad.any()]
    assert not silent


def test_every_linear_layer_of_the_tower_is_adapted_and_nothing_else(tower):
    linear = {n for n, m in tower.named_modules() if isinstance(m, nn.Linear)}
    made = adapted(tower)
    layers = {n for n, m in made.tower.named_modules() if hasattr(m, "get_base_layer")}
    assert layers == linear


def test_named_modules_alone_are_adapted(tower, checkpoint):
    name = {"qwen3_vl": "qkv", "internvl": "q_proj"}[checkpoint.tower.family]
    made = adapted(tower, target_modules=(name,))
    assert trainable(made) and all(f".{name}." in n for n in trainable(made))


def test_a_name_that_is_no_linear_layers_is_refused(tower):
    with pytest.raises(UserInputError, match=r"no linear layer 'patch_embed'\. It has .*fc1"):
        adapted(tower, target_modules=("patch_embed",))


def test_the_merged_tower_computes_what_the_adapted_one_does(tower):
    plain = tower.config_dict()
    unadapted = tensors(tower.double()(random_pixels(3, 64)))
    made = adapted(tower).double()
    pixels = random_pixels(3, 64)
    with torch.no_grad():
        wanted = tensors(made(pixels))
        merged = finished_tower(made)
        for a, b, c in zip(tensors(merged(pixels)), wanted, unadapted, strict=True):
            torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)
            assert (a - c).abs().max() > 0.1
        # The adapters themselves are as they were, and training can go on.
        assert all(torch.equal(a, b) for a, b in zip(tensors(made(pixels)), wanted, strict=True))
    assert merged.config_dict() == plain == made.config_dict()
    assert not any("lora" in name or "base_layer" in name for name in merged.state_dict())
    assert (merged.width, merged.pixels_per_token) == (made.width, made.pixels_per_token)


def test_the_merged_tower_no_longer_depends_on_the_adapters(tower):
    made = adapted(tower)
    merged = finished_tower(made)
    pixels = random_pixels(2, 64)
    with torch.no_grad():
        before = merged(pixels).tokens_BND
        for parameter in made.parameters():
            parameter.zero_()
        assert torch.equal(merged(pixels).tokens_BND, before)


def test_dropout_is_of_training_alone(tower):
    made = adapted(tower, dropout=0.5)
    pixels = random_pixels(2, 64)
    with torch.no_grad():
        assert not torch.equal(made(pixels).tokens_BND, made(pixels).tokens_BND)
        merged = finished_tower(made)
        assert torch.equal(merged(pixels).tokens_BND, merged(pixels).tokens_BND)


def test_a_tower_with_adapters_is_still_of_its_family(tower, checkpoint):
    made = adapted(tower)
    assert isinstance(made, AdaptedTower) and made.family == checkpoint.tower.family
    assert made.grid(64) == (4, 4)
