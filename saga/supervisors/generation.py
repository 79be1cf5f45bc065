"""The decode loop's state and its one step, made to be captured once and replayed for every token.

A step feeds each row's last token, samples the next and records it. It reads and writes buffers at fixed
addresses, its shapes are those of a window (rows, room), and nothing in it waits for the host: rows that
have ended go on, unrecorded, until the host looks. What is sampled does not depend on when it looks, on
the room or on which ended rows are still there.

Shapes: P pairs, G group size, N = P·G rows, R rows still decoding, T tokens up to the limit, V
vocabulary, E model width.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from saga.supervisors.backbone import Backbone
from saga.supervisors.sampling import sample, token_log_probs
from saga.supervisors.shared_prefix import SharedPrefix, Window
from saga.supervisors.token_pass import TokenPass

NOTHING = -1
"""Stands where no token was recorded."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """What a captured step has in it besides shapes."""

    temperature: float
    top_p: float
    forced: bool
    """Whether every row ends at a length that is given."""


class Generation:
    """Rows of completions as they grow."""

    def __init__(
        self,
        backbone: Backbone,
        token_pass: TokenPass,
        memory: SharedPrefix,
        sampling: Sampling,
        limit: int,
    ) -> None:
        """Buffers for all rows of the memory and `limit` tokens each."""
        self.backbone, self.token_pass, self.memory = backbone, token_pass, memory
        self.sampling, self.limit = sampling, limit
        rows, device = memory.pairs * memory.group, backbone.device
        self.ends = torch.tensor(backbone.end_token_ids, device=device)
        self.uniform_TN = torch.zeros(limit, rows, device=device)
        self.lengths_N = torch.zeros(rows, dtype=torch.long, device=device)
        """Lengths that are forced, if any are."""
        self.tokens_TN = torch.full((limit, rows), NOTHING, device=device)
        self.logps_TN = torch.zeros(limit, rows, device=device)
        self.token_N = torch.zeros(rows, dtype=torch.long, device=device)
        self.ended_N = torch.zeros(rows, dtype=torch.bool, device=device)
        self.places_N = torch.arange(rows, device=device)
        """Which of P·G each row is; the first R entries count."""
        self.slot_1 = torch.zeros(1, dtype=torch.long, device=device)
        """Own tokens that each row has in the memory."""

    def begin(self, hidden_RE: Tensor, uniform_TR: Tensor, lengths_R: Tensor | None) -> None:
        """Sample the first tokens.

        Args:
            hidden_RE: the prompts' last hidden states, one a row; the rows may be fewer than N.
            uniform_TR: random numbers of every row.
            lengths_R: forced lengths.
        """
        rows = len(hidden_RE)
        self.uniform_TN[:, :rows] = uniform_TR
        if lengths_R is not None:
            self.lengths_N[:rows] = lengths_R
        self.memory.clear()
        torch.arange(len(self.places_N), out=self.places_N)
        self.tokens_TN.fill_(NOTHING)
        self.logps_TN.zero_()
        self.slot_1.zero_()
        self.ended_N.fill_(True)
        self.ended_N[:rows] = False
        self._draw(hidden_RE, self.slot_1)

    def step(self, window: Window) -> None:
        """Another token of each row of a window."""
        ids_R = self.token_N[: window.rows]
        hidden_RE = self.token_pass(ids_R, self.slot_1, self.memory, window)
        self.slot_1 += 1
        self._draw(hidden_RE, self.slot_1)

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Take back, at the end, what steps within did to the rows' state."""
        state = (self.slot_1, self.token_N, self.ended_N)
        before = [x.clone() for x in state]
        try:
            yield
        finally:
            for now, then in zip(state, before):
                now.copy_(then)

    def alive(self, rows: int) -> int:
        """Rows that have not ended; the host waits for it."""
        return rows - int(self.ended_N[:rows].sum())

    def compact(self, before: Window, after: Window) -> None:
        """Let ended rows go, so many that `after.rows` are left."""
        ended_R = self.ended_N[: before.rows]
        # The living first, then of the ended as many as make up the number.
        kept = ended_R.to(torch.uint8).sort(stable=True).indices[: after.rows].sort().values
        self.memory.keep(kept, before, after)
        self.places_N[: after.rows] = self.places_N[kept]
        self.token_N[: after.rows] = self.token_N[kept]
        self.ended_N[: after.rows] = ended_R[kept]

    def _draw(self, hidden_RE: Tensor, column_1: Tensor) -> None:
        """Sample and record a token of each row that has not ended."""
        rows, sampling = len(hidden_RE), self.sampling
        places_R, ended_R = self.places_N[:rows], self.ended_N[:rows]
        index_R = places_R + column_1 * self.tokens_TN.shape[1]
        logp_RV = token_log_probs(self.backbone, hidden_RE, sampling.temperature)
        uniform_R = self.uniform_TN.view(-1)[index_R]
        if sampling.forced:
            token_R = self._forced(logp_RV, uniform_R, self.lengths_N[places_R] - column_1 - 1)
        else:
            token_R = sample(logp_RV, uniform_R, sampling.top_p)
        logp_R = logp_RV.gather(1, token_R[:, None])[:, 0]
        recorded_R = token_R.masked_fill(ended_R, NOTHING)
        self.tokens_TN.view(-1).index_copy_(0, index_R, recorded_R)
        self.logps_TN.view(-1).index_copy_(0, index_R, logp_R.masked_fill(ended_R, 0.0))
        ended_R |= (token_R[:, None] == self.ends).any(-1)
        self.token_N[:rows] = token_R

    def _forced(self, logp_RV: Tensor, uniform_R: Tensor, left_R: Tensor) -> Tensor:
        """A token that ends its row if none is left, and does not otherwise."""
        others_RV = logp_RV.index_fill(-1, self.ends, -torch.inf).log_softmax(-1)
        token_R = sample(others_RV, uniform_R, self.sampling.top_p)
        return torch.where(left_R == 0, self.ends[0], token_R)
