"""Recall@1 of labelled queries against the gallery, beside what the gallery itself reaches.

A query whose class the gallery does not hold cannot be found; such queries are counted apart. The
interval is clustered by class, as queries of one class succeed and fail together.

Shapes: n queries, m gallery.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from saga.retrieval.statistics import clustered_mean


@dataclass(frozen=True, slots=True)
class Quality:
    """Rates are fractions in [0, 1]."""

    recall_at_1: float
    """Of the labelled queries whose class the gallery holds."""
    low: float
    high: float
    """Two-sided interval of 95 %."""
    gallery: float
    """Recall@1 of the gallery's images in the rest of it, each class weighted as the queries are."""
    queries: int
    classes: int
    unknown: int
    """Labelled queries of classes that the gallery does not hold, or holds one image of."""

    @property
    def loss(self) -> float:
        """What has surely been lost against the gallery: negative where nothing has."""
        return self.gallery - self.high


def quality_of(
    query_classes: pd.Series,
    gallery_classes: pd.Series,
    found: np.ndarray,
    found_in_gallery: np.ndarray,
) -> Quality | None:
    """Recall@1 with its interval.

    Args:
        query_classes: of each query, None without a label (n,).
        gallery_classes: of each gallery image (m,).
        found: position of each query's nearest gallery image (n,).
        found_in_gallery: position of each gallery image's nearest other image (m,).

    Returns:
        None where fewer than two classes have labelled queries.
    """
    names = gallery_classes.to_numpy(object)
    hits = pd.Series(names == names[found_in_gallery]).groupby(names)
    reached = hits.mean()[hits.size() >= 2]
    labelled = query_classes.notna().to_numpy()
    known = labelled & query_classes.isin(reached.index).to_numpy()
    classes = query_classes[known]
    if classes.nunique() < 2:
        return None
    hit = pd.Series((names[found] == query_classes.to_numpy(object))[known].astype(float))
    interval = clustered_mean(hit, classes.reset_index(drop=True))
    return Quality(
        recall_at_1=interval.mean,
        low=interval.low,
        high=interval.high,
        gallery=float(classes.map(reached).mean()),
        queries=interval.queries,
        classes=interval.classes,
        unknown=int((labelled & ~known).sum()),
    )
