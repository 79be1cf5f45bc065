"""The least time that a SAGA step can take on a device, from shapes alone.

A step that wastes nothing reads the language model's weights once per decoded token step for all rows
together, reads each pair's prompt once for its whole group, runs each prompt once in the prefill and once
in the replay, and runs the tower once per image. Every part takes the longer of its memory traffic and its
arithmetic:

    decode    per token step: weights, keys and values of the live rows; 2 FLOP a weight and row
    prefill   2 FLOP a weight and token, and the attention
    replay    4 FLOP a weight and token (the weights are frozen: no gradient of theirs), and the attention
    tower     6 FLOP a weight and patch (it is trained), and the attention

Sampling, optimizer, data and the metric loss are left out, so it cannot be reached.

Shapes: P pairs, G group size, S prompt tokens, B images.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

BACKWARD_FROZEN, BACKWARD_TRAINED = 2, 3
"""Forward and backward over forward alone."""


@dataclass(frozen=True, slots=True)
class Device:
    """What a device can do at best."""

    name: str
    bytes_per_second: float
    """Reads of a large tensor."""
    flops: float
    """Of a large matrix product in the type that is computed in."""


H200 = Device("H200", 4.3e12, 790e12)
H100 = Device("H100", 3.0e12, 798e12)
"""As measured: bfloat16 matrix products, and reads from memory."""


@dataclass(frozen=True, slots=True)
class Language:
    """What of the language model decides the cost."""

    layers: int
    layer_weights: int
    """Of one decoder layer."""
    head_weights: int
    """Of the product that gives the logits."""
    attention_width: int
    """Query heads times their width."""
    cached_width: int
    """Key-value heads times their width."""
    bytes_each: int
    """Of a weight or a cached value."""

    @property
    def weights(self) -> int:
        """Read at every token step."""
        return self.layers * self.layer_weights + self.head_weights

    @property
    def cache_bytes(self) -> int:
        """Keys and values of one token."""
        return 2 * self.layers * self.cached_width * self.bytes_each

    @classmethod
    def of(cls, text: Any, bytes_each: int) -> "Language":
        """Of a transformers text configuration (grouped queries, gated MLP)."""
        attention = text.num_attention_heads * text.head_dim
        cached = text.num_key_value_heads * text.head_dim
        layer = text.hidden_size * (2 * attention + 2 * cached + 3 * text.intermediate_size)
        head = text.hidden_size * text.vocab_size
        return cls(text.num_hidden_layers, layer, head, attention, cached, bytes_each)


@dataclass(frozen=True, slots=True)
class Tower:
    """What of the vision tower decides the cost."""

    layers: int
    layer_weights: int
    merger_weights: int
    """Of all mergers, at each merged token."""
    width: int
    merged: int
    """Patches of one merged token."""
    patch_side: int
    """In pixels."""

    @classmethod
    def of(cls, vision: Any) -> "Tower":
        """Of a Qwen3-VL vision configuration."""
        width, merged = vision.hidden_size, vision.spatial_merge_size**2
        layer = 4 * width**2 + 2 * width * vision.intermediate_size
        wide = width * merged
        merger = wide * (wide + vision.out_hidden_size)
        mergers = 1 + len(vision.deepstack_visual_indexes)
        return cls(vision.depth, layer, mergers * merger, width, merged, vision.patch_size)


@dataclass(frozen=True, slots=True)
class Work:
    """What one step has to do."""

    prompt: int
    """Tokens of a pair's prompt, S."""
    lengths_PG: Sequence[Sequence[int]]
    """Generated tokens of every completion."""
    images: int
    """Images of the batch, B."""
    image_size: int
    """Side in pixels."""
    replayed_PG: Sequence[Sequence[int]] | None = None
    """Those that are replayed; None replays all."""


def floor_seconds(language: Language, tower: Tower, work: Work, device: Device) -> dict[str, float]:
    """Least seconds of each part and of their sum, "total"."""
    replayed = work.lengths_PG if work.replayed_PG is None else work.replayed_PG
    parts = {
        "decode": _decode(language, work, device),
        "prefill": _passes(language, work.prompt, [() for _ in work.lengths_PG]) / device.flops,
        "replay": BACKWARD_FROZEN * _passes(language, work.prompt, replayed) / device.flops
        + _attention_backward(language, work.prompt, replayed) / device.flops,
        "tower": BACKWARD_TRAINED * _tower(tower, work.images, work.image_size) / device.flops,
    }
    return parts | {"total": sum(parts.values())}


def _decode(language: Language, work: Work, device: Device) -> float:
    """Token step by token step: memory or arithmetic, whichever takes longer."""
    if not len(work.lengths_PG):
        return 0.0
    lengths_PG = np.asarray(work.lengths_PG)
    seconds = 0.0
    for done in range(1, int(lengths_PG.max())):  # the first token comes from the prefill
        live_PG = lengths_PG > done
        rows, prompts = int(live_PG.sum()), int(live_PG.any(1).sum())
        cached = rows * done + prompts * work.prompt
        read = language.weights * language.bytes_each + cached * language.cache_bytes
        flops = 2 * rows * language.weights + _scores(language, rows * (work.prompt + done))
        seconds += max(read / device.bytes_per_second, flops / device.flops)
    return seconds


def _passes(language: Language, prompt: int, lengths_PG: Sequence[Sequence[int]]) -> float:
    """FLOP of one forward over each pair's prompt and completions."""
    generated = sum(map(sum, lengths_PG))
    tokens = len(lengths_PG) * prompt + generated
    weights = language.layers * language.layer_weights * tokens + language.head_weights * generated
    return 2 * weights + _scores(language, _met(prompt, lengths_PG))


def _attention_backward(
    language: Language, prompt: int, lengths_PG: Sequence[Sequence[int]]
) -> float:
    """FLOP of attention's backward beyond its forward's: both factors need a gradient."""
    return _scores(language, _met(prompt, lengths_PG))


def _met(prompt: int, lengths_PG: Sequence[Sequence[int]]) -> float:
    """Pairs of a query and a key that it may see."""
    of_prompts = len(lengths_PG) * prompt**2 / 2
    return of_prompts + sum(n * prompt + n**2 / 2 for group in lengths_PG for n in group)


def _scores(language: Language, met: float) -> float:
    """FLOP of attention: scores and weighted sums."""
    return 4 * language.layers * language.attention_width * met


def _tower(tower: Tower, images: int, size: int) -> float:
    """FLOP of one forward of the tower."""
    patches = (size // tower.patch_side) ** 2
    attention = 4 * tower.layers * tower.width * patches**2
    weights = tower.layers * tower.layer_weights * patches
    return images * (2 * (weights + tower.merger_weights * patches / tower.merged) + attention)


def measured_device(dtype: torch.dtype = torch.float32, repeats: int = 5) -> Device:
    """This machine's CPU: a large copy (reads and writes counted) and a large matrix product."""
    source = torch.ones(1 << 26, dtype=torch.uint8)
    target = torch.empty_like(source)
    factor = torch.randn(1536, 1536).to(dtype)
    copying = min(_seconds(lambda: target.copy_(source)) for _ in range(repeats))
    product = min(_seconds(lambda: factor @ factor) for _ in range(repeats))
    return Device("CPU, measured", 2 * len(source) / copying, 2 * len(factor) ** 3 / product)


def device_of(name: str) -> Device | None:
    """The figures of a GPU by its product name; None where we have none."""
    return next((device for device in (H200, H100) if device.name in name), None)


def _seconds(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
