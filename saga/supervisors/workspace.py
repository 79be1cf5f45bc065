"""The buffers and graphs of a decode loop, kept from call to call where that pays.

A captured graph holds the addresses it was captured with, so its buffers must stay: for Qwen3-VL-8B, 64
rows of 1,024 tokens are 10 GB. They belong to the backbone and go with it, or with `forget`.

Shapes: P pairs, S prompt tokens, K key-value heads, D head width.
"""

import weakref
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from saga.supervisors.backbone import Backbone, Prefix
from saga.supervisors.cuda_graphs import GraphedStep
from saga.supervisors.generation import Generation, Sampling
from saga.supervisors.pace import Pace
from saga.supervisors.shared_prefix import ROOM, SharedPrefix, Window
from saga.supervisors.token_pass import TokenPass


@dataclass(frozen=True, slots=True)
class Workspace:
    """What a roll-out works in."""

    key: Hashable
    """All that the buffers' shapes and a captured step depend on, but for the number of pairs."""
    generation: Generation
    step: Callable[[Window], None]

    def suits(self, key: Hashable, pairs: int) -> bool:
        """Whether so many pairs can be decoded here, and without wasting more than half of it."""
        return key == self.key and pairs <= self.generation.memory.pairs <= 2 * pairs


_KEPT: "WeakKeyDictionary[Backbone, Workspace]" = WeakKeyDictionary()


def forget(backbone: Backbone) -> None:
    """Free what is kept for a backbone."""
    _KEPT.pop(backbone, None)


def workspace(
    backbone: Backbone,
    prefix: Prefix,
    prompts: list[tuple[Tensor, Tensor]],
    pairs: int,
    group: int,
    sampling: Sampling,
    limit: int,
    pace: Pace,
    graphs: bool,
) -> Workspace:
    """A place to decode completions of some pairs: the one that was kept, if it suits.

    Args:
        backbone: the frozen language model.
        prefix: the prompt.
        prompts: keys and values (any, K, S, D) of each layer, of which the shapes are taken.
        pairs: how many there are.
        group: completions of a pair.
        sampling: what a captured step has in it.
        limit: most tokens of a completion.
        pace: how it will be driven.
        graphs: whether steps are CUDA graphs.
    """
    kind = backbone.device.type
    computed = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    weight = backbone.language.embed_tokens.weight
    key = (
        *(prefix.next_position, len(prefix), group, sampling, limit, graphs),
        *(computed, weight.dtype, weight.data_ptr(), prompts[0][0].dtype),
    )
    if pace.kept:
        kept = _KEPT.get(backbone)
        if kept is not None and kept.suits(key, pairs):
            return kept
        del kept
        forget(backbone)  # before there are two
    room = pace.room(limit, limit) if pace.kept else ROOM
    memory = SharedPrefix(prompts, pairs, group, room, computed, fixed=pace.kept)
    # What is kept for a backbone must not keep the backbone.
    owner = cast(Backbone, weakref.proxy(backbone)) if pace.kept else backbone
    generation = Generation(owner, TokenPass(backbone, prefix, limit), memory, sampling, limit)
    made = Workspace(key, generation, GraphedStep(generation) if graphs else generation.step)
    if pace.kept:
        _KEPT[backbone] = made
    return made
