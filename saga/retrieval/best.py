"""The k best of each query: of a matrix of similarities, and of several met one after the other.

Of equal similarities the lower position comes first.

Shapes: Q queries, k kept, M positions of a matrix, C candidates.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

SORTED_AT_ONCE = 1 << 17
"""Similarities sorted whole at once, where equal ones leave no other way."""
CROWDED = 8
"""A matrix of which more than one in so many would be sorted is left to top-k instead."""


def largest(scores_QM: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row and their positions, both (Q, k), largest first.

    Where some of several equal values do not fit, whole rows are sorted, `SORTED_AT_ONCE` values
    at once.
    """
    more = min(k + 1, scores_QM.shape[1])
    values, positions = scores_QM.topk(more, dim=1)
    # Where the next value equals the last one, topk has chosen among equals: sort the whole row.
    torn = values[:, -1] == values[:, k - 1] if more > k else torch.zeros(0, dtype=torch.bool)
    # topk promises no order among equals: sort by position, then stably by value.
    positions = positions[:, :k].sort(dim=1).values
    values, order = scores_QM.gather(1, positions).sort(dim=1, descending=True, stable=True)
    positions = positions.gather(1, order)
    at_once = max(SORTED_AT_ONCE // scores_QM.shape[1], 1)
    for rows in torn.nonzero()[:, 0].split(at_once):
        whole = scores_QM[rows].sort(dim=1, descending=True, stable=True)
        values[rows], positions[rows] = whole.values[:, :k], whole.indices[:, :k]
    return values, positions


@dataclass(frozen=True, slots=True)
class Best:
    """What each query has found so far, best first; -inf where it has met fewer than k."""

    values_Qk: Tensor
    positions_Qk: Tensor

    @classmethod
    def empty(cls, queries: int, k: int) -> "Best":
        """Before anything is met."""
        return cls(
            torch.full((queries, k), -torch.inf), torch.zeros((queries, k), dtype=torch.int64)
        )

    def part(self, rows: slice) -> "Best":
        """Some queries; what they find is found for the whole."""
        return Best(self.values_Qk[rows], self.positions_Qk[rows])

    def meet(self, scores_QM: Tensor, first: int) -> None:
        """Take what is better than what was found.

        Args:
            scores_QM: similarities to the gallery from position `first`, which lies behind all
                that was met before; in memory by row or, as the transpose of such, by column.
            first: 0 when nothing was met before.
        """
        if first == 0:
            self._take_largest(scores_QM, first)
            return
        query_C, position_C = _above(scores_QM, self.values_Qk[:, -1])
        if not len(query_C):
            return
        counts_Q = np.bincount(query_C, minlength=len(scores_QM))
        found = np.flatnonzero(counts_Q)
        most = int(counts_Q.max())
        if len(found) * most * CROWDED > scores_QM.numel():
            self._take_largest(scores_QM, first)
            return
        # One row for each query that found something, its candidates side by side, in order.
        row_C = (np.cumsum(counts_Q > 0) - 1)[query_C]
        column_C = np.arange(len(query_C)) - (np.cumsum(counts_Q) - counts_Q)[query_C]
        values = torch.full((len(found), most), -torch.inf)
        positions = torch.zeros((len(found), most), dtype=torch.int64)
        at = torch.from_numpy(row_C), torch.from_numpy(column_C)
        values[at] = scores_QM[torch.from_numpy(query_C), torch.from_numpy(position_C)]
        positions[at] = torch.from_numpy(position_C + first)
        self._merge(torch.from_numpy(found), values, positions)

    def _take_largest(self, scores_QM: Tensor, first: int) -> None:
        k = min(self.values_Qk.shape[1], scores_QM.shape[1])
        values, positions = largest(scores_QM.contiguous(), k)
        self._merge(torch.arange(len(scores_QM)), values, positions + first)

    def _merge(self, queries: Tensor, values: Tensor, positions: Tensor) -> None:
        """Of each of these queries, the best of those found and of others, which lie behind."""
        k = self.values_Qk.shape[1]
        values = torch.cat([self.values_Qk[queries], values], dim=1)
        positions = torch.cat([self.positions_Qk[queries], positions], dim=1)
        values, order = values.sort(dim=1, descending=True, stable=True)
        self.values_Qk[queries] = values[:, :k]
        self.positions_Qk[queries] = positions.gather(1, order[:, :k])


def _above(scores_QM: Tensor, least_Q: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Query and position of the similarities above its query's least, in this order."""
    if scores_QM.stride(1) == 1:
        flat = np.flatnonzero((scores_QM > least_Q[:, None]).numpy())
        return np.divmod(flat, scores_QM.shape[1])
    flat = np.flatnonzero((least_Q < scores_QM.T).numpy())
    position_C, query_C = np.divmod(flat, len(scores_QM))
    # numpy sorts the smallest integers fastest
    order = query_C.astype(np.min_scalar_type(len(scores_QM))).argsort(kind="stable")
    return query_C[order], position_C[order]
