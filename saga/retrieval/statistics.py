"""Is one encoder better than another? Paired differences clustered by class.

Queries of one class succeed and fail together, so they are not independent: tests over queries err far
more often than they say (14-39 % at a nominal 5 %). The class is the unit here.

The estimate is the difference of query means, D = Σ_c s_c / Σ_c n_c with s_c a class's summed differences
and n_c its queries; its variance is the ratio estimator's over C classes, its interval Student's t with
C - 1 degrees of freedom.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from saga.retrieval.report import RetrievalReport

LEVEL = 0.95
OUTCOMES = {
    "recall_at_1": "hit_at_1",
    "recall_at_2": "hit_at_2",
    "recall_at_4": "hit_at_4",
    "recall_at_8": "hit_at_8",
    "map_at_r": "map_at_r",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean and its interval, in fractions."""

    mean: float
    low: float
    high: float
    standard_error: float
    classes: int
    queries: int


def paired_difference(
    candidate: RetrievalReport, baseline: RetrievalReport, metric: str, level: float = LEVEL
) -> Difference:
    """Candidate minus baseline on the same queries.

    Args:
        candidate: report of the encoder under judgement.
        baseline: report of the other.
        metric: recall_at_K or map_at_r.
        level: of the two-sided interval.

    Raises:
        ValueError: if the metric has no per-query outcome or the queries differ.
    """
    values = _outcome(candidate, metric).align(_outcome(baseline, metric), join="outer")
    if values[0].isna().any() or values[1].isna().any() or len(values[0]) != len(
        candidate.per_query
    ):
        raise ValueError("the two reports did not judge the same queries")
    return clustered_mean(values[0] - values[1], level)


def estimate(report: RetrievalReport, metric: str, level: float = LEVEL) -> Difference:
    """One encoder's own metric with its class-clustered interval."""
    return clustered_mean(_outcome(report, metric), level)


def clustered_mean(values: pd.Series, level: float = LEVEL) -> Difference:
    """Mean of values indexed by (class_id, image_id), with an interval clustered by class.

    Raises:
        ValueError: if there are fewer than two classes or a value is missing.
    """
    if values.isna().any():
        raise ValueError("a value is missing")
    grouped = values.groupby(level="class_id")
    sums, sizes = grouped.sum().to_numpy(), grouped.size().to_numpy()
    C = len(sums)
    if C < 2:
        raise ValueError(f"an interval over classes needs at least two, got {C}")
    mean = float(sums.sum() / sizes.sum())
    residual = sums - mean * sizes
    error = float(np.sqrt(C / (C - 1) * (residual**2).sum()) / sizes.sum())
    reach = float(stats.t.ppf(0.5 + level / 2, C - 1)) * error
    return Difference(mean, mean - reach, mean + reach, error, C, int(sizes.sum()))


def _outcome(report: RetrievalReport, metric: str) -> pd.Series:
    if metric not in OUTCOMES:
        raise ValueError(
            f"{metric} has no outcome per query; allowed are {', '.join(OUTCOMES)} "
            "(NMI is one figure of a whole clustering)"
        )
    table = report.per_query
    index = pd.MultiIndex.from_frame(table[["class_id", "image_id"]])
    return pd.Series(table[OUTCOMES[metric]].to_numpy(float), index).sort_index()
