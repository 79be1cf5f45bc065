"""Exact search by whole rows of the similarity matrix, on a GPU or for many neighbours.

Shapes: Q queries, M gallery, E embedding width, B queries of a chunk, k neighbours.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from saga.retrieval.best import Best, largest
from saga.retrieval.precision import full_precision


def search_rows(
    queries_QE: Tensor, gallery_ME: Tensor, k: int, exclude_self: bool, chunk: int
) -> Iterator[tuple[slice, Best]]:
    """The k most similar of the gallery to each query, chunk by chunk.

    Args:
        queries_QE: moved, chunk by chunk, to where the gallery is.
        gallery_ME: to search.
        k: neighbours wanted.
        exclude_self: leave out position i of the gallery for query i.
        chunk: queries at once.
    """
    place = gallery_ME.device
    # One memory for all chunks: freed and taken again, it would fall into pieces.
    memory = torch.empty(min(chunk, len(queries_QE)), len(gallery_ME), device=place)
    for start in range(0, len(queries_QE), chunk):
        rows = slice(start, min(start + chunk, len(queries_QE)))
        with torch.inference_mode(), full_precision(place.type):
            scores_BM = memory[: rows.stop - rows.start]
            torch.mm(queries_QE[rows].to(place), gallery_ME.T, out=scores_BM)
            if exclude_self:
                scores_BM.diagonal(start).fill_(-torch.inf)
            best = Best(*largest(scores_BM, k))
        yield rows, best
