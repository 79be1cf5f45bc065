"""Exact search on the CPU, tile by tile of the similarity matrix.

A tile is a chunk of queries against some of the gallery. Two things make it faster than the product
and a top-k of whole rows:

- Within one set the matrix is symmetric: a tile above the diagonal serves its rows and its columns,
  and those below are never computed.
- After its first tile a query knows k neighbours, and only what is nearer than the last of them is
  looked at: one comparison a similarity, and a sort of the few that pass.

Every query meets the gallery in order of position, so of equal similarities the first met stays.

Shapes: E embedding width, B queries of a chunk, W columns of a tile, k neighbours.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from saga.retrieval.best import Best
from saga.retrieval.precision import full_precision

WIDTH = 2048
"""Columns of a tile, where a chunk is not larger: few enough for the cache."""


def search_tiles(
    queries_QE: Tensor, gallery_ME: Tensor, k: int, exclude_self: bool, chunk: int
) -> Iterator[tuple[slice, Best]]:
    """The k most similar of the gallery to each query, chunk by chunk.

    Args:
        queries_QE: the same object as `gallery_ME` to search within one set.
        gallery_ME: to search.
        k: neighbours wanted.
        exclude_self: leave out position i of the gallery for query i.
        chunk: queries at once.
    """
    symmetric = queries_QE is gallery_ME
    many, gallery = len(queries_QE), len(gallery_ME)
    width = max(chunk, WIDTH)
    tile = torch.empty(min(chunk, many) * min(width, gallery))
    all_best = Best.empty(many if symmetric else 0, k)
    for start in range(0, many, chunk):
        rows = slice(start, min(start + chunk, many))
        best = all_best.part(rows) if symmetric else Best.empty(rows.stop - start, k)
        for left in range(start if symmetric else 0, gallery, width):
            right = min(left + width, gallery)
            with torch.inference_mode(), full_precision("cpu"):
                scores_BW = _product(queries_QE[rows], gallery_ME[left:right], tile)
                if exclude_self:
                    scores_BW.diagonal(start - left).fill_(-torch.inf)
                best.meet(scores_BW, left)
                behind = max(rows.stop, left)
                if symmetric and behind < right:
                    columns = all_best.part(slice(behind, right))
                    columns.meet(scores_BW[:, behind - left :].T, start)
        yield rows, best


def _product(queries_BE: Tensor, gallery_WE: Tensor, tile: Tensor) -> Tensor:
    """Similarities (B, W), in the memory of the tile."""
    B, W = len(queries_BE), len(gallery_WE)
    return torch.mm(queries_BE, gallery_WE.T, out=tile[: B * W].view(B, W))
