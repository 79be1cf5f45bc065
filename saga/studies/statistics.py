"""Paired differences of two arms over all seeds.

The seeds' per-query differences are put together; a class of one data set is one cluster (seeds with
data of their own have classes of their own), and the interval is the cluster-robust t of
`saga.retrieval.statistics`. It takes the trained encoders for given: whatever one training's chance
adds is shared by all classes of its seed. So a second interval stands beside it: Student's t over the
seeds' mean differences, which holds that chance too and is wide with few seeds.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from saga.retrieval.report import RetrievalReport, outcome_column
from saga.retrieval.statistics import LEVEL, clustered_mean

Reports = Mapping[int, RetrievalReport]
"""By seed."""


@dataclass(frozen=True, slots=True)
class SeedDifference:
    """One arm minus another, in fractions."""

    mean: float
    low: float
    high: float
    """Of the class-clustered interval."""
    per_seed: list[float | None]
    """Mean of each seed; None where one of the two has no figures."""
    seed_low: float | None
    seed_high: float | None
    """Of the t interval over seeds; None with fewer than two."""
    classes: int
    queries: int


def seed_difference(
    first: Reports, second: Reports, seeds: int, metric: str = "recall_at_1"
) -> SeedDifference | None:
    """First minus second, paired by query, over the seeds that both have; None without any.

    Args:
        first: reports of one arm.
        second: reports of the other, on the same data seed by seed.
        seeds: how many there should be.
        metric: recall_at_K or map_at_r.

    Raises:
        ValueError: if the two judged different queries.
    """
    parts = {
        seed: _paired(first[seed], second[seed], metric)
        for seed in range(seeds)
        if seed in first and seed in second
    }
    if not parts:
        return None
    table = pd.concat(parts.values(), ignore_index=True)
    found = clustered_mean(table["difference"], table["cluster"])
    means = [float(parts[s]["difference"].mean()) if s in parts else None for s in range(seeds)]
    low, high = seed_interval([mean for mean in means if mean is not None])
    return SeedDifference(
        found.mean, found.low, found.high, means, low, high, found.classes, found.queries
    )


def seed_interval(values: list[float]) -> tuple[float | None, float | None]:
    """95 % t interval of the mean of seeds; (None, None) with fewer than two."""
    n = len(values)
    if n < 2:
        return None, None
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(n)
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, n - 1)) * error
    return mean - reach, mean + reach


def _paired(first: RetrievalReport, second: RetrievalReport, metric: str) -> pd.DataFrame:
    """Per-query differences and each query's cluster."""
    column = outcome_column(metric)
    if first.dataset_digest != second.dataset_digest:
        raise ValueError(f"{first.name} and {second.name} did not judge the same data")
    keys = ["class_id", "image_id"]
    ours, theirs = (
        report.per_query[[*keys, column]].set_index(keys)[column].astype(float).sort_index()
        for report in (first, second)
    )
    if not ours.index.equals(theirs.index):
        raise ValueError(f"{first.name} and {second.name} did not judge the same queries")
    classes = ours.index.get_level_values("class_id").astype(str)
    return pd.DataFrame(
        {
            "difference": (ours - theirs).to_numpy(),
            "cluster": [f"{first.dataset_digest}/{name}" for name in classes],
        }
    )
