"""Decoding groups of completions behind one prompt each, without a copy of the prompt for every completion.

A group's completions share their prompt's keys and values. Copied out to the group they are G times as
much to read at every token, and to copy again as the cache grows. Here each prompt's are kept once; the
queries of a whole group meet them in one product, and the softmax runs over both parts together.

    cache = SharedPrefixCache(depth)
    hidden(prompts, cache=cache)                 the prompts, plain causal attention
    with cache.shared(config, G):
        hidden(one token a row, cache=cache)     rows of a pair in a row, G each

Shapes: P pairs, G group size, R rows still decoding, K key-value heads, Q queries a key-value head,
S prompt tokens, T own tokens so far, D head width.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, Cache
from transformers.cache_utils import DynamicLayer

NAME = "saga_shared_prefix"
ROOM = 32
"""Tokens of a completion for which there is room at first."""


class SharedPrefixLayer(DynamicLayer):
    """One layer: the prompts' keys and values, and those of the rows' own tokens."""

    def __init__(self) -> None:
        super().__init__()
        self._length = 0
        self.prefix: tuple[Tensor, Tensor] | None = None
        """Keys and values (P, K, S, D); None before they are shared."""

    def share(self, rows: int) -> None:
        """What is here becomes the prefix; `rows` rows begin with nothing of their own."""
        assert self.keys is not None and self.values is not None
        self.prefix = self.keys, self.values
        _, K, _, D = self.keys.shape
        self.keys = self.keys.new_empty(rows, K, ROOM, D)
        self.values = self.values.new_empty(rows, K, ROOM, D)

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Add a token; returns the rows' own keys and values (R, K, T, D), the new ones last."""
        if self.prefix is None:
            grown: tuple[Tensor, Tensor] = super().update(key_states, value_states)
            return grown
        assert self.keys is not None and self.values is not None
        if self._length == self.keys.shape[2]:  # twice the room: few copies, whatever the length
            self.keys = torch.cat([self.keys, torch.empty_like(self.keys)], 2)
            self.values = torch.cat([self.values, torch.empty_like(self.values)], 2)
        self.keys[:, :, self._length] = key_states[:, :, 0]
        self.values[:, :, self._length] = value_states[:, :, 0]
        self._length += 1
        return self.keys[:, :, : self._length], self.values[:, :, : self._length]

    def get_seq_length(self) -> int:
        """Tokens of a row, those of its prompt included."""
        if self.prefix is None:
            length: int = super().get_seq_length()
            return length
        return self.prefix[0].shape[2] + self._length


class SharedPrefixCache(Cache):
    """Keys and values of some prompts, and of groups of completions behind them."""

    def __init__(self, depth: int) -> None:
        """Of `depth` layers, empty."""
        self.shares = [SharedPrefixLayer() for _ in range(depth)]
        super().__init__(layers=list(self.shares))
        self.group = self.rows = 0
        self.places_R: Tensor | None = None
        """Where each row stands among P·G; None while all do."""

    @contextmanager
    def shared(self, config: Any, group: int) -> Iterator[None]:
        """From here on every row is a completion's token: `group` rows behind each prompt.

        Args:
            config: the language model's, whose attention is ours for as long.
            group: completions of a prompt.
        """
        assert self.shares[0].keys is not None
        self.group, self.rows = group, self.shares[0].keys.shape[0] * group
        for layer in self.shares:
            layer.share(self.rows)
        before, token = config._attn_implementation, _ACTIVE.set(self)
        config._attn_implementation = NAME
        try:
            yield
        finally:
            config._attn_implementation = before
            _ACTIVE.reset(token)

    def keep(self, rows: Tensor) -> None:
        """Go on with some of the rows."""
        if self.places_R is None:
            self.places_R = rows
        else:
            self.places_R = self.places_R[rows]
        for layer in self.shares:
            layer.batch_select_indices(rows)


_ACTIVE: ContextVar[SharedPrefixCache] = ContextVar("shared prefix cache")


def shared_prefix_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of one token a row to its prompt and to its own tokens; transformers' interface.

    Args:
        module: a decoder layer's attention.
        query: (R, K·Q, 1, D).
        key: (R, K, T, D), the rows' own.
        value: (R, K, T, D).
        attention_mask: None; nothing is padded.
        scaling: of the scores; None takes 1/√D.
        kwargs: of other kinds of attention.

    Returns:
        (R, 1, K·Q, D), and no weights.
    """
    cache = _ACTIVE.get()
    prefix = cache.shares[module.layer_idx].prefix
    assert attention_mask is None and prefix is not None
    keys, values = prefix
    R, K, T, D = key.shape
    scale = D**-0.5 if scaling is None else scaling
    query_RKQD = query.reshape(R, K, -1, D) * scale
    of_prompt_RKQS = _apart(cache, _together(cache, query_RKQD) @ keys.transpose(2, 3))
    scores = torch.cat([of_prompt_RKQS, query_RKQD @ key.transpose(2, 3)], -1)
    weights = scores.softmax(-1, dtype=torch.float32).to(value.dtype)
    S = keys.shape[2]
    found_RKQD = _apart(cache, _together(cache, weights[..., :S]) @ values)
    found_RKQD = found_RKQD + weights[..., S:] @ value
    return found_RKQD.reshape(R, 1, -1, D), None


def _together(cache: SharedPrefixCache, x_RKQX: Tensor) -> Tensor:
    """(P, K, G·Q, X): what belongs to one prompt in one matrix; zeros for rows that are gone."""
    _, K, Q, X = x_RKQX.shape
    if cache.places_R is not None:
        whole = x_RKQX.new_zeros(cache.rows, K, Q, X)
        x_RKQX = whole.index_copy(0, cache.places_R, x_RKQX)
    grouped = x_RKQX.unflatten(0, (-1, cache.group))
    return grouped.transpose(1, 2).flatten(2, 3)


def _apart(cache: SharedPrefixCache, x_PKGX: Tensor) -> Tensor:
    """(R, K, Q, X): the inverse of `_together`."""
    rows = x_PKGX.unflatten(2, (cache.group, -1)).transpose(1, 2).flatten(0, 1)
    return rows if cache.places_R is None else rows[cache.places_R]


AttentionInterface.register(NAME, shared_prefix_attention)
