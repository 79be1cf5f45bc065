"""Split and flex attention against the whole mask in one call."""

import logging
from types import SimpleNamespace

import pytest
import torch
from torch.nn.attention import flex_attention as torch_flex
from torch.nn.functional import scaled_dot_product_attention
from transformers.integrations import flex_attention as transformers_flex

import saga.supervisors.packed_attention as packed_module
import saga.supervisors.replay as replay_module
from saga.supervisors.packed_attention import flex_attention, flex_works, split_attention
from saga.supervisors.packing import pack
from saga.supervisors.replay import replay_packed, replay_plain
from tests.supervisors.test_replay import LENGTHS as LENGTHS_OF_PAIRS
from tests.supervisors.test_replay import completions_of_lengths, same, scored

MODULE = SimpleNamespace(training=False)

LENGTHS = torch.tensor([[3, 1, 9, 5], [2, 2, 2, 1]])
LAYOUTS = {
    "ragged": {},
    "filled up": {"multiple": 16},
    "some": {"use_PG": torch.tensor([[True, False, True, False], [False] * 4])},
    "prompt": {"use_PG": torch.zeros(2, 4, dtype=torch.bool)},
}


@pytest.fixture(params=LAYOUTS)
def packing(request):
    return pack(10, LENGTHS, 9, **LAYOUTS[request.param])


def states(packing, heads=4, shared=2, width=16):
    P, S = packing.block_PS.shape
    random = torch.Generator().manual_seed(2)
    return [
        torch.randn(P, h, S, width, generator=random, requires_grad=True)
        for h in (heads, heads // shared, heads // shared)
    ]


def whole_mask(packing):
    P, S = packing.block_PS.shape
    return packing.mask(torch.arange(P)[:, None], torch.arange(S)[None])[:, None]


def result(attend, tensors):
    found = attend(*tensors)
    weight = torch.randn(found.shape, generator=torch.Generator().manual_seed(4))
    return [found, *torch.autograd.grad((found * weight).sum(), tensors)]


def in_one_call(packing):
    def attend(query, key, value):
        out = scaled_dot_product_attention(
            query, key, value, attn_mask=whole_mask(packing), scale=0.3, enable_gqa=True
        )
        return out.transpose(1, 2)

    return attend


@pytest.mark.parametrize("slab", [2, 5, 128])
def test_split_attention_equals_one_call_with_the_whole_mask(packing, monkeypatch, slab):
    monkeypatch.setattr(packed_module, "SLAB", slab)
    tensors = states(packing)
    split = split_attention(packing)
    ours = result(lambda *qkv: split(None, *qkv, 0.3), tensors)
    for a, b in zip(ours, result(in_one_call(packing), tensors), strict=True):
        assert a.isfinite().all()
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_the_mask_of_flex_attention_is_the_whole_mask(packing):
    P, S = packing.block_PS.shape
    made = torch_flex.create_mask(packing.mask_mod(), P, 1, S, S, device="cpu")
    assert made.equal(whole_mask(packing))
    assert made.any(-1).all()


@pytest.fixture
def flex_on_cpu(monkeypatch):
    """Flex attention as on CUDA, but not compiled; counts its calls."""
    calls = []

    def eager(query, key, value, training=False, **options):
        calls.append(query.shape)
        return torch_flex.flex_attention(query, key, value, **options)

    packed_module._flex_works.cache_clear()
    monkeypatch.setattr(transformers_flex, "compile_friendly_flex_attention", eager)
    # Its check refuses gradients on the CPU, where only the compiled kernel has none.
    monkeypatch.setattr(torch_flex, "_validate_device", lambda *args: None)
    monkeypatch.setattr(packed_module, "FLEX_FROM", 0)
    for module in (packed_module, replay_module):
        monkeypatch.setattr(module, "takes_flex", lambda device: True)
    yield calls
    packed_module._flex_works.cache_clear()


@pytest.mark.filterwarnings("ignore:flex_attention called without")
def test_flex_attention_equals_one_call_with_the_whole_mask(packing, flex_on_cpu):
    tensors = states(packing)
    flex = flex_attention(packing)
    ours = result(lambda *qkv: flex(MODULE, *qkv, 0.3), tensors)
    for a, b in zip(ours, result(in_one_call(packing), tensors), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:flex_attention called without")
def test_a_replay_with_flex_attention_equals_separate_sequences(
    checkpoint, image_tokens, flex_on_cpu
):
    completions = completions_of_lengths(LENGTHS_OF_PAIRS["ragged"])
    packed = scored(replay_packed, checkpoint, image_tokens, completions)
    tried, *layers = flex_on_cpu
    assert len(layers) == checkpoint.backbone.depth
    assert tried[0] == 1 and layers[0][0] == 4 and layers[0][2] % packed_module.TILE == 0
    same(packed, scored(replay_plain, checkpoint, image_tokens, completions))


def test_a_short_replay_does_without_flex_attention(
    checkpoint, image_tokens, flex_on_cpu, monkeypatch
):
    monkeypatch.setattr(packed_module, "FLEX_FROM", 1024)
    scored(replay_packed, checkpoint, image_tokens, completions_of_lengths([[3, 2]] * 4))
    assert not flex_on_cpu


@pytest.mark.filterwarnings("ignore:flex_attention called without")
def test_flex_attention_runs_in_the_type_of_autocast(flex_on_cpu):
    packing = pack(10, LENGTHS, 9)
    query, key, value = states(packing)
    with torch.autocast("cpu", torch.bfloat16):
        found = flex_attention(packing)(MODULE, query, key, value.bfloat16(), 0.3)
    assert found.dtype == torch.bfloat16


def test_where_flex_attention_fails_the_replay_says_so_once_and_does_without(
    checkpoint, image_tokens, flex_on_cpu, monkeypatch, caplog
):
    def fail(*args, **options):
        raise RuntimeError("no kernel for this\nand a long trace")

    monkeypatch.setattr(transformers_flex, "compile_friendly_flex_attention", fail)
    completions = completions_of_lengths(LENGTHS_OF_PAIRS["ragged"])
    with caplog.at_level(logging.WARNING):
        packed = [scored(replay_packed, checkpoint, image_tokens, completions) for _ in range(2)]
    (record,) = caplog.records
    assert "RuntimeError: no kernel for this)" in record.getMessage()
    same(packed[1], scored(replay_plain, checkpoint, image_tokens, completions))


def test_a_lack_of_memory_is_not_a_lack_of_flex_attention(checkpoint, flex_on_cpu, monkeypatch):
    def fail(*args, **options):
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(transformers_flex, "compile_friendly_flex_attention", fail)
    with pytest.raises(torch.OutOfMemoryError):
        flex_works(checkpoint.backbone)
