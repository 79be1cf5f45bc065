"""Keys and values of groups of completions that share their prompts, without a copy for every completion.

Copied out to the group, a prompt's keys and values are G times as much to read at every token. Here each
prompt's are kept once: the queries of a whole group meet them in one product, and the softmax runs over
both parts together. The rows' own keys and values lie in buffers that are written in place, so that a
token's attention has the same shapes and addresses from step to step, as a CUDA graph needs.

Products are batched over key-value heads first and prompts or rows second: rows of a pair lie side by
side, so a group's queries are one matrix without being copied. Keys are stored transposed, ready for the
product.

Shapes: P pairs, G group size, N = P·G rows, R rows still decoding, K key-value heads, Q queries a
key-value head, H = K·Q heads, S prompt tokens, T room for own tokens, D head width; M = K·R and
O = K·P the batches of the products, X any.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

ROOM = 16
"""Own tokens of a row for which there is room at first; it is doubled as often as needed."""


@dataclass(frozen=True, slots=True)
class Window:
    """What of the buffers one step works on: fixed shapes, whatever the contents."""

    rows: int
    """Rows that decode: the first of the buffers."""
    room: int
    """Own tokens that attention reads, the new one included."""
    exact: bool
    """Whether the room is the number of own tokens; else what lies behind them is masked."""


class SharedPrefix:
    """One buffer each for the prompts' and the rows' own keys and values of every layer."""

    def __init__(
        self,
        prompts: list[tuple[Tensor, Tensor]],
        pairs: int,
        group: int,
        room: int = ROOM,
        dtype: torch.dtype | None = None,
        fixed: bool = False,
    ) -> None:
        """Buffers like some prompts' keys and values; empty.

        Args:
            prompts: keys and values of each layer, (any, K, S, D), of which the shapes are taken.
            pairs: P, the most there will be.
            group: completions of a prompt.
            room: own tokens of a row for which there is room at first.
            dtype: of the buffers; None takes the prompts'.
            fixed: whether prompts stay when all their rows have gone, and shapes and addresses with
                them; given enough room.
        """
        self.pairs, self.group, self.room, self.fixed = pairs, group, room, fixed
        self.heads = prompts[0][0].shape[1]
        rows = pairs * group
        self.prompt_keys, self.prompt_values = [], []
        self._keys, self._values = [], []
        for keys, values in prompts:
            _, K, S, D = keys.shape
            aligned = -(-S // 8) * 8  # matrix units want rows that begin at multiples of 16 bytes
            self.prompt_keys.append(keys.new_zeros(K * pairs, D, aligned, dtype=dtype)[..., :S])
            self.prompt_values.append(values.new_zeros(K * pairs, S, D, dtype=dtype))
            self._keys.append(keys.new_zeros(K * rows, D, room, dtype=dtype))
            self._values.append(values.new_zeros(K * rows, room, D, dtype=dtype))
        device = prompts[0][0].device
        self.places_N = torch.arange(rows, device=device)
        """Where each row stands among those of the prompts; the first R entries count."""
        self._arange_T = torch.arange(room, device=device)

    def clear(self) -> None:
        """Begin with no own tokens and with every row."""
        torch.arange(len(self.places_N), out=self.places_N)
        for (
            values
        ) in self._values:  # places behind the last token have weight 0, and 0 · nan is nan
            values.zero_()

    def put(self, layer: int, first: int, keys: Tensor, values: Tensor) -> None:
        """Keys and values (any, K, S, D) of the prompts from `first` on."""
        chosen = slice(first, first + len(keys))
        by_head = (self.heads, -1)
        self.prompt_keys[layer].unflatten(0, by_head)[:, chosen] = keys.permute(1, 0, 3, 2)
        self.prompt_values[layer].unflatten(0, by_head)[:, chosen] = values.transpose(0, 1)

    def reserve(self, room: int) -> None:
        """Make room for so many own tokens; twice what there was, so that copies are few."""
        if room <= self.room:
            return
        more = max(room, 2 * self.room) - self.room
        self._keys = [pad(x, (0, more)) for x in self._keys]
        self._values = [pad(x, (0, 0, 0, more)) for x in self._values]
        self.room += more
        self._arange_T = torch.arange(self.room, device=self._arange_T.device)

    def keep(self, kept: Tensor, before: Window, after: Window) -> None:
        """Go on with some of the rows, in their order, as the first of the buffers."""
        self.places_N[: len(kept)] = self.places_N[kept]
        for layer in range(len(self._keys)):
            for old, new in zip(self.own(layer, before), self.own(layer, after)):
                chosen = old.unflatten(0, (self.heads, -1))[:, kept]
                new.unflatten(0, (self.heads, -1)).copy_(chosen)
        if not self.fixed:
            self._keep_prompts(after.rows)

    def _keep_prompts(self, rows: int) -> None:
        """Let those go whose rows have all gone."""
        pair_R, member_R = self.places_N[:rows] // self.group, self.places_N[:rows] % self.group
        kept, place_R = pair_R.unique(return_inverse=True)
        if len(kept) == self.pairs:
            return
        self.pairs = len(kept)
        self.places_N[:rows] = place_R * self.group + member_R
        for prompts in (self.prompt_keys, self.prompt_values):
            for layer, buffer in enumerate(prompts):
                chosen = buffer.unflatten(0, (self.heads, -1))[:, kept]
                prompts[layer] = chosen.flatten(0, 1)

    def own(self, layer: int, window: Window) -> tuple[Tensor, Tensor]:
        """A layer's own keys (M, D, T) and values (M, T, D) within a window.

        Fewer rows lie at the buffer's beginning without gaps between the heads.
        """
        keys, values = self._keys[layer], self._values[layer]
        batch = self.heads * window.rows
        if batch != len(keys):
            keys = keys.view(-1)[: batch * keys[0].numel()].view(batch, *keys.shape[1:])
            values = values.view(-1)[: batch * values[0].numel()].view(batch, *values.shape[1:])
        return keys[..., : window.room], values[:, : window.room]

    def unwritten(self, slot_1: Tensor, window: Window) -> Tensor | None:
        """Which of a window's T places lie behind the own token `slot_1`; None if none can."""
        return None if window.exact else self._arange_T[: window.room] > slot_1

    def attend(
        self,
        layer: int,
        window: Window,
        slot_1: Tensor,
        unwritten_T: Tensor | None,
        query_RHD: Tensor,
        key_RKD: Tensor,
        value_RKD: Tensor,
        scale: float,
    ) -> Tensor:
        """Attention of one token a row to its prompt and to its own tokens, itself included.

        Args:
            layer: whose buffers.
            window: rows and room.
            slot_1: place of the token among the row's own.
            unwritten_T: from `unwritten`.
            query_RHD: queries.
            key_RKD: the token's keys, to be stored.
            value_RKD: its values.
            scale: of the scores.

        Returns:
            (R, H·D).
        """
        R, K, D = key_RKD.shape
        keys, values = self.own(layer, window)
        new_key, new_value = key_RKD.transpose(0, 1), value_RKD.transpose(0, 1)
        keys.unflatten(0, (K, R)).index_copy_(3, slot_1, new_key[..., None].to(keys.dtype))
        values.unflatten(0, (K, R)).index_copy_(2, slot_1, new_value[:, :, None].to(values.dtype))
        query_MQD = query_RHD.unflatten(1, (K, -1)).transpose(0, 1).reshape(K * R, -1, D)
        of_own_MQT = _product(query_MQD, keys, scale)
        if unwritten_T is not None:
            of_own_MQT.masked_fill_(unwritten_T, -torch.inf)
        of_prompt = _product(self._together(query_MQD, R), self.prompt_keys[layer], scale)
        scores = torch.cat([self._apart(of_prompt, R), of_own_MQT], -1)
        weights = scores.softmax(-1).to(values.dtype)  # in float32 inside, whatever the type
        S = of_prompt.shape[-1]
        found = torch.bmm(self._together(weights[..., :S], R), self.prompt_values[layer])
        found_MQD = self._apart(found, R).baddbmm_(weights[..., S:], values)
        return found_MQD.view(K, R, -1).transpose(0, 1).reshape(R, -1)

    def _together(self, x_MQX: Tensor, rows: int) -> Tensor:
        """(O, G·Q, X): what belongs to one prompt in one matrix; zeros for rows that are gone."""
        _, Q, X = x_MQX.shape
        if rows != self.pairs * self.group:
            whole = x_MQX.new_zeros(self.heads, self.pairs * self.group, Q, X)
            whole.index_copy_(1, self.places_N[:rows], x_MQX.view(-1, rows, Q, X))
            x_MQX = whole.flatten(0, 1)
        return x_MQX.unflatten(0, (-1, self.group)).flatten(1, 2)

    def _apart(self, x_OXX: Tensor, rows: int) -> Tensor:
        """(M, Q, X): the inverse of `_together`."""
        x = x_OXX.view(len(x_OXX) * self.group, -1, x_OXX.shape[-1])
        if rows == self.pairs * self.group:
            return x
        return x.unflatten(0, (self.heads, -1))[:, self.places_N[:rows]].flatten(0, 1)


def _product(x: Tensor, y: Tensor, scale: float) -> Tensor:
    """Batched product, scaled before it is rounded."""
    return torch.baddbmm(x[:1, :1, :1], x, y, beta=0, alpha=scale)
