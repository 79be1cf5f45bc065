"""How the completions of a pair are packed behind one copy of its prompt.

    [prompt, completion 0, completion 1, …, padding]

The last token of a completion is predicted and never read, so it takes no place. Completions follow each
other without padding; only pairs are padded, to the longest of those that run together. Positions restart
behind the prompt with every completion. A token sees the prompt and its own completion, up to itself. In
the padding each position is a completion of its own: it sees the prompt, so its attention is defined, and
no other position sees it.

Shapes: P pairs, G group size, T generated tokens, L = T − 1 tokens that may be read, M packed positions
behind the prompt, S packed positions, Q queries.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor
from torch.nn.functional import pad

PROMPT = -1
"""Block of the prompt's positions."""

MaskMod = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""Whether a query sees a key: (pair, head, query, key) → bool, as flex attention asks it."""


@dataclass(frozen=True, slots=True)
class Packing:
    """Which token stands where, for the pairs that run together."""

    prefix_length: int
    used_PG: Tensor
    """Completions that are packed."""
    fed_PGL: Tensor
    """True at tokens that are read. In the order of rows they stand as in `packed_PM`."""
    packed_PM: Tensor
    """True at positions behind the prompt that hold a token, False in the padding."""
    start_PG: Tensor
    """Packed position of each completion's first token."""
    block_PS: Tensor
    """Completion at each position; `PROMPT` in the prompt, numbers of their own in the padding."""
    token_PM: Tensor
    """Index of the token in its completion; 0 in the padding."""

    @property
    def more(self) -> int:
        """Positions behind the prompt."""
        return self.packed_PM.shape[1]

    def ids(self, tokens_PGT: Tensor) -> Tensor:
        """Token ids (P, M) behind the prompt; in the padding any token of the pair."""
        T = tokens_PGT.shape[2]
        source_PM = self.block_PS[:, self.prefix_length :] * T + self.token_PM
        return tokens_PGT.flatten(1).gather(1, source_PM.where(self.packed_PM, 0))

    def predicting(self, pair: Tensor, completion: Tensor, token: Tensor) -> Tensor:
        """Packed position that predicts a completion's token; all (Q,)."""
        inside = self.holding(pair, completion, token) - 1
        return torch.where(token == 0, self.prefix_length - 1, inside)

    def holding(self, pair: Tensor, completion: Tensor, token: Tensor) -> Tensor:
        """Packed position that holds a completion's token; all (Q,)."""
        return self.start_PG[pair, completion] + token

    def mask_mod(self) -> MaskMod:
        """What a position sees, as a function of positions."""
        block_PS = self.block_PS  # a compiled kernel takes a tensor, not this object

        def sees(pair: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            block = block_PS[pair, key]
            return (query >= key) & ((block == PROMPT) | (block == block_PS[pair, query]))

        return sees

    def mask(self, pair: Tensor, query: Tensor, key_K: Tensor | None = None) -> Tensor:
        """What some positions of some pairs see, (…, K); `pair` and `query` broadcast.

        Args:
            pair: (…).
            query: packed positions that look, (…).
            key_K: packed positions that are looked at; None takes all.
        """
        if key_K is None:
            key_K = torch.arange(self.block_PS.shape[1], device=self.block_PS.device)
        return self.mask_mod()(pair[..., None], pair, query[..., None], key_K)

    def slabs(self, size: int) -> list[tuple[int, int, int]]:
        """The packed part in equal slabs of about `size` rows, each with the keys that its rows see.

        Returns:
            (first key, first row, end of both) of each slab, counted from the prompt's end. Keys
            before the first belong to completions that have ended, in every pair.
        """
        if self.more == 0:
            return []
        rows = ceil(self.more / max(1, round(self.more / size)))
        begins_PM = torch.arange(self.more, device=self.token_PM.device) - self.token_PM
        first_keys = begins_PM[:, ::rows].amin(0).tolist()
        return [(key, i * rows, min((i + 1) * rows, self.more)) for i, key in enumerate(first_keys)]


def pack(
    prefix_length: int, lengths_PG: Tensor, T: int, use_PG: Tensor | None = None, multiple: int = 1
) -> Packing:
    """Lay out the completions of some pairs.

    Args:
        prefix_length: tokens of the prompt.
        lengths_PG: generated tokens of each completion.
        T: generated tokens that there is room for.
        use_PG: completions to pack; None takes all that have tokens.
        multiple: of which the sequence's length shall be one.
    """
    device = lengths_PG.device
    used_PG = lengths_PG > 0
    if use_PG is not None:
        used_PG = used_PG & use_PG.to(device)
    read_PG = (lengths_PG - 1) * used_PG
    start_PG1 = pad(read_PG.cumsum(1), (1, 0))  # with that of the padding
    more = int(start_PG1[:, -1].max())
    more += -(prefix_length + more) % multiple
    index_M = torch.arange(more, device=device)
    ends_PG = start_PG1[:, 1:].contiguous()
    block_PM = torch.searchsorted(ends_PG, index_M.repeat(len(ends_PG), 1), right=True)
    packed_PM = index_M < start_PG1[:, -1:]
    token_PM = (index_M - start_PG1.gather(1, block_PM)).where(packed_PM, 0)
    block_PM = block_PM.where(packed_PM, block_PM + index_M)
    return Packing(
        prefix_length=prefix_length,
        used_PG=used_PG,
        fed_PGL=torch.arange(T - 1, device=device) < read_PG[..., None],
        packed_PM=packed_PM,
        start_PG=prefix_length + start_PG1[:, :-1],
        block_PS=pad(block_PM, (prefix_length, 0), value=PROMPT),
        token_PM=token_PM,
    )
