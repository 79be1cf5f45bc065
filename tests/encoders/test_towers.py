"""Towers against the unmodified models of transformers."""

import copy

import pytest
import torch
from transformers import AutoModelForImageTextToText

from saga.encoders.towers import build_tower, tower_of
from saga.errors import UserInputError
from tests.supervisors.conftest import IMAGE_SIZE
from tests.supervisors.test_rollout import qwen_patches

FAMILIES = sorted(IMAGE_SIZE)


def whole_model(folder):
    """The model as transformers loads it, with its own attention."""
    return AutoModelForImageTextToText.from_pretrained(folder, attn_implementation="eager")


def random_pixels(images, size, seed=0):
    return torch.rand(images, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def features_of(model, pixels):
    """[tokens, *deepstack levels], (B, N, D) each, by `get_image_features`."""
    B = len(pixels)
    if model.config.model_type == "internvl":
        out = model.model.get_image_features(pixel_values=pixels)
        return [out.pooler_output]
    patches, grid = qwen_patches(model.config.vision_config, pixels)
    out = model.model.get_image_features(patches, grid)
    levels = [torch.cat(list(x)) if isinstance(x, tuple) else x for x in out.deepstack_features]
    return [x.view(B, -1, x.shape[-1]) for x in (torch.cat(list(out.pooler_output)), *levels)]


def weighted_gradients(outputs, parameters):
    generator = torch.Generator().manual_seed(5)
    total = sum((torch.randn(x.shape, generator=generator) * x).sum() for x in outputs)
    return torch.autograd.grad(total, parameters, allow_unused=True)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [64, 96])
def test_tokens_are_the_whole_models_features_in_values_and_gradients(tiny_folders, family, size):
    model = whole_model(tiny_folders[family])
    tower = tower_of(copy.deepcopy(model))
    pixels = random_pixels(3, size)
    ours = tower(pixels)
    found, wanted = [ours.tokens_BND, *ours.deepstack], features_of(model, pixels)
    assert len(found) == len(wanted) == (2 if family == "qwen3_vl" else 1)
    rows, columns = tower.grid(size)
    assert found[0].shape == (3, rows * columns, tower.width)
    for a, b in zip(found, wanted):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    theirs = dict(vision_parameters(model))
    names = list(theirs)
    mine = dict(vision_parameters_of(tower))
    assert mine.keys() == theirs.keys()
    a = weighted_gradients(found, [mine[n] for n in names])
    b = weighted_gradients(wanted, [theirs[n] for n in names])
    for name, x, y in zip(names, a, b):
        assert (x is None) == (y is None), name
        if x is not None:
            torch.testing.assert_close(
                x, y, atol=1e-4, rtol=1e-3, msg=lambda text, n=name: f"{n}: {text}"
            )
    silent = [n for n, x in zip(names, a) if x is None or not x.any()]
    # A key bias moves all scores of a query alike, which softmax does not see.
    assert all(name.endswith("k_proj.bias") for name in silent), silent


def vision_parameters(model):
    for name, parameter in model.named_parameters():
        for prefix, ours in (
            ("model.visual.", "vision."),
            ("model.vision_tower.", "vision."),
            ("model.multi_modal_projector.", "projector."),
        ):
            if name.startswith(prefix):
                yield ours + name.removeprefix(prefix), parameter


def vision_parameters_of(tower):
    return tower.named_parameters()


@pytest.mark.parametrize("family", FAMILIES)
def test_an_image_has_the_same_tokens_alone_and_in_any_batch(tiny_folders, family):
    tower = tower_of(whole_model(tiny_folders[family]))
    pixels = random_pixels(4, 64)
    together = tower(pixels)
    for i in range(4):
        alone = tower(pixels[i : i + 1])
        torch.testing.assert_close(
            alone.tokens_BND[0], together.tokens_BND[i], atol=1e-6, rtol=1e-5
        )


def test_a_tower_built_from_its_stored_configuration_computes_the_same(checkpoint):
    tower = checkpoint.tower
    again = build_tower(tower.family, tower.config_dict())
    assert again.config_dict() == tower.config_dict()
    again.load_state_dict(tower.state_dict(), strict=True)
    again.eval()
    size = IMAGE_SIZE[tower.family]
    a, b = tower(random_pixels(2, size)), again(random_pixels(2, size))
    assert torch.equal(a.tokens_BND, b.tokens_BND)
    assert all(torch.equal(x, y) for x, y in zip(a.deepstack, b.deepstack, strict=True))


def test_a_copy_of_a_tower_computes_with_its_own_weights(checkpoint):
    tower = checkpoint.tower
    pixels = random_pixels(2, 64)
    with torch.no_grad():
        before = tower(pixels).tokens_BND
        for part in ("attn", "attention"):  # Qwen3-VL's and InternVL's name
            twin = copy.deepcopy(tower)
            changed = [p for n, p in twin.named_parameters() if f".{part}." in n]
            for parameter in changed:
                parameter.mul_(2)
            assert torch.equal(tower(pixels).tokens_BND, before)
            unchanged = torch.equal(twin(pixels).tokens_BND, before)
            assert unchanged == (not changed), part


def test_a_size_that_does_not_fit_is_refused_with_the_nearest_that_does(checkpoint):
    with pytest.raises(UserInputError, match=r"image_size is 70 .* multiple of 16\. Nearest: 64\."):
        checkpoint.tower.grid(70)
    with pytest.raises(UserInputError, match="Nearest: 16"):
        checkpoint.tower.grid(4)
    assert checkpoint.tower.grid(96) == (6, 6)


def test_an_unknown_family_is_refused():
    with pytest.raises(UserInputError, match="'resnet' is not known; known are internvl, qwen3_vl"):
        build_tower("resnet", {})


def test_tokens_are_indexed_with_their_deepstack_levels_and_with_gradient(checkpoint):
    tokens = checkpoint.tower(random_pixels(3, 64))
    chosen = tokens.index([2, 0, 2])
    assert torch.equal(chosen.tokens_BND[0], tokens.tokens_BND[2])
    assert all(torch.equal(c[1], t[0]) for c, t in zip(chosen.deepstack, tokens.deepstack))
    (gradient,) = torch.autograd.grad(chosen.tokens_BND.sum(), tokens.tokens_BND)
    assert gradient[:, 0, 0].tolist() == [1.0, 0.0, 2.0]
    assert not tokens.detach().tokens_BND.requires_grad
