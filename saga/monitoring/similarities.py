"""How near the nearest image is, and how far ahead of the second: both shift when queries do.

Shapes: n queries, m gallery, E embedding width.
"""

import numpy as np
import pandas as pd

from saga.errors import UserInputError
from saga.retrieval.report import RetrievalReport
from saga.retrieval.search import search

SIMILARITIES = {
    "top1": "cosine with the nearest gallery image",
    "margin": "cosine with the nearest minus cosine with the second nearest",
}
FEWEST_IN_GALLERY = 3
"""A gallery image, left out of its own search, still needs two others."""


def nearest(
    queries: np.ndarray, gallery: np.ndarray, *, exclude_self: bool = False
) -> tuple[pd.DataFrame, np.ndarray]:
    """Search, and keep what tells of drift.

    Args:
        queries: unit vectors (n, E).
        gallery: unit vectors (m, E), at least three.
        exclude_self: query i is gallery image i, and is not to find itself.

    Returns:
        `top1` and `margin` of each query, and the position of its nearest gallery image (n,).

    Raises:
        UserInputError: if the gallery is too small.
        ValueError: if vectors are not finite or not of unit length, or widths differ.
    """
    if len(gallery) < FEWEST_IN_GALLERY:
        raise UserInputError(
            f"The gallery has {len(gallery)} images; a margin needs at least {FEWEST_IN_GALLERY}."
        )
    found = search(queries, gallery, 2, exclude_self=exclude_self)
    return _table(found.similarities), found.indices[:, 0]


def similarities_of(report: RetrievalReport) -> pd.DataFrame:
    """`top1` and `margin` of each query of a report, in its order.

    Raises:
        UserInputError: if it kept fewer than two neighbours of a query.
    """
    kept = report.per_query["similarities"]
    fewest = min((len(row) for row in kept), default=0)
    if fewest < 2:
        raise UserInputError(
            f"The report of {report.name} keeps {fewest} neighbours of a query; the margin needs "
            "two. Set evaluation.neighbours_kept to 2 or more."
        )
    return _table(np.array([row[:2] for row in kept], np.float32))


def _table(similarities: np.ndarray) -> pd.DataFrame:
    top1 = similarities[:, 0].astype(np.float32)
    return pd.DataFrame({"top1": top1, "margin": top1 - similarities[:, 1].astype(np.float32)})
