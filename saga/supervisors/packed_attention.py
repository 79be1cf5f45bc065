"""Attention over packed completions, put in the place of the language model's own.

    with attend_with(backbone, packed_attention(backbone, packing)):
        backbone.hidden(…)                      without a mask: the packing says who sees whom

Two ways, equal in values and gradients:
    split  several fused calls: causal inside the prompt; behind it masked, in slabs of rows that leave out
           the keys of completions that have ended. Works everywhere.
    flex   one fused kernel that leaves out tiles that are masked as a whole: three quarters of the square
           behind a prompt of 650 tokens with 8 completions of 450. For long sequences on CUDA.
Flex attention is compiled when it is first needed. It is tried out on a small case before; where that fails
a warning says why, and split attention takes its place.

Shapes: P pairs, H heads, K key-value heads, S packed positions, M of them behind the prompt, D head width.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from saga.supervisors.backbone import Backbone
from saga.supervisors.packing import Packing, pack

NAME = "saga_packed"
TILE = 128
"""Side of the tiles that flex attention computes or leaves out; sequences are padded to whole ones."""
SLAB = 128
"""Rows of a call of split attention: fewer leave out more keys, and are more calls."""
FLEX_FROM = 1024
"""Packed positions from which flex attention is worth the half minute that its compilation takes."""

logger = logging.getLogger(__name__)

Attention = Callable[[Any, Tensor, Tensor, Tensor, float], Tensor]
"""(module, query (P, H, S, D), key (P, K, S, D), value (P, K, S, D), scale) → (P, S, H, D)."""

_ACTIVE: ContextVar[Attention] = ContextVar("attention over packed completions")


@contextmanager
def attend_with(backbone: Backbone, attention: Attention) -> Iterator[None]:
    """The language model attends like this for as long as it is open."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, _forward)
    config = backbone.language.config
    before, token = config._attn_implementation, _ACTIVE.set(attention)
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before
        _ACTIVE.reset(token)


def packed_attention(backbone: Backbone, packing: Packing) -> Attention:
    """The faster way that works on the model's device."""
    long = packing.block_PS.shape[1] >= FLEX_FROM
    if takes_flex(backbone.device) and long and flex_works(backbone):
        return flex_attention(packing)
    return split_attention(packing)


def takes_flex(device: torch.device) -> bool:
    """Whether flex attention has a kernel with gradients there."""
    return device.type == "cuda"


def flex_works(backbone: Backbone) -> bool:
    """Whether it runs forward and backward for this model; says why not, once."""
    config, attention = backbone.language.config, backbone.language.layers[0].self_attn
    heads = config.num_attention_heads, config.num_key_value_heads, attention.head_dim
    return _flex_works(backbone.device, _dtype(backbone.language.embed_tokens.weight), *heads)


def split_attention(packing: Packing) -> Attention:
    """A fused call for the prompt, which needs no mask, and one for each slab of rows behind it."""
    S0, device = packing.prefix_length, packing.block_PS.device
    slabs = packing.slabs(SLAB)
    pair_P1 = torch.arange(len(packing.block_PS), device=device)[:, None]
    index_S = torch.arange(packing.block_PS.shape[1], device=device)
    prompt_S, index_M = index_S.split([S0, packing.more])
    masks = [
        packing.mask(pair_P1, index_M[row:end], torch.cat([prompt_S, index_M[first:end]]))[:, None]
        for first, row, end in slabs
    ]

    def attend(module: Any, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        grouped = query.device.type == "cpu"
        if not grouped:  # with a mask, CUDA's fused kernels know no shared heads
            shared = query.shape[1] // key.shape[1]
            key, value = key.repeat_interleave(shared, 1), value.repeat_interleave(shared, 1)
        fused = partial(scaled_dot_product_attention, scale=scale, enable_gqa=grouped)
        query, *rows = query.split([S0, *(end - row for _, row, end in slabs)], 2)
        (key, keys), (value, values) = (x.split([S0, packing.more], 2) for x in (key, value))
        found = [fused(query, key, value, is_causal=True)]
        for (first, _, end), behind, mask in zip(slabs, rows, masks):
            near_keys = torch.cat([key, keys[:, :, first:end]], 2)
            near_values = torch.cat([value, values[:, :, first:end]], 2)
            found.append(fused(behind, near_keys, near_values, attn_mask=mask))
        return torch.cat([part.transpose(1, 2) for part in found], 1)

    return attend


def flex_attention(packing: Packing) -> Attention:
    """One call of flex attention, compiled as transformers does it."""
    from torch.nn.attention.flex_attention import create_block_mask
    from transformers.integrations.flex_attention import flex_attention_forward

    P, S = packing.block_PS.shape
    device = packing.block_PS.device
    tiles = create_block_mask(packing.mask_mod(), P, None, S, S, device, BLOCK_SIZE=TILE)

    def attend(module: Any, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        # Autocast leaves queries wider than values, and does not reach into flex attention.
        dtype = _dtype(value)
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
        found: Tensor = flex_attention_forward(module, query, key, value, tiles, scaling=scale)[0]
        return found

    return attend


@cache
def _flex_works(device: torch.device, dtype: torch.dtype, H: int, K: int, D: int) -> bool:
    """Try flex attention on a prompt of two tiles and two completions, backward too."""
    lengths_PG = torch.full((1, 2), TILE, device=device)
    packing = pack(2 * TILE, lengths_PG, TILE, multiple=TILE)
    S = packing.block_PS.shape[1]
    try:
        with torch.enable_grad():
            query, key, value = (
                torch.zeros(1, heads, S, D, device=device, dtype=dtype, requires_grad=True)
                for heads in (H, K, K)
            )
            module = SimpleNamespace(training=False)
            found = flex_attention(packing)(module, query, key, value, D**-0.5)
            torch.autograd.grad(found.sum(), (query, key, value))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever a compiler raises
        logger.warning(
            "flex attention cannot be used (%s: %s): the replay uses masked attention, which is slower",
            type(error).__name__,
            str(error).strip().split("\n")[0],
        )
        return False
    return True


def _dtype(tensor: Tensor) -> torch.dtype:
    """What autocast makes of a tensor in attention."""
    kind = tensor.device.type
    if torch.is_autocast_enabled(kind):
        return torch.get_autocast_dtype(kind)
    return tensor.dtype


def _forward(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The interface of transformers: (P, S, H, D) and no weights."""
    assert attention_mask is None, "the packing says who sees whom"
    return _ACTIVE.get()(module, query, key, value, scaling), None
