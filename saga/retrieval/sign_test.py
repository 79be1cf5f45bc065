"""Has one class lost queries beyond chance? The exact sign test.

A single class is one cluster, so that no interval over classes exists. Of the queries whose outcome
differs, losses and gains are equally likely if nothing changed: a binomial test. It takes the
queries for independent given their class, which they are less than wholly: it raises some alarms too
many, which `saga gates calibrate` counts.

With n changed queries no p value lies below 2^-n. Among many classes most could therefore never
raise an alarm, and to correct for them hides a class that lost everything: `able_to_alarm` leaves
them out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from saga.retrieval.report import RetrievalReport, outcome_column


@dataclass(frozen=True, slots=True)
class SignTest:
    """What one class came to."""

    difference: float
    """Mean, candidate minus reference."""
    p_value: float
    """The chance of losses at least as many if losses and gains are alike."""
    least: float
    """The p value if every changed query were lost."""


def sign_test(candidate: RetrievalReport, reference: RetrievalReport, metric: str) -> SignTest:
    """Test the losses of some queries.

    Args:
        candidate: report of some queries.
        reference: of the same queries.
        metric: recall_at_K or map_at_r.

    Raises:
        ValueError: if the queries differ, one is judged twice or an outcome is missing.
    """
    ours, theirs = (_outcomes(report, metric) for report in (candidate, reference))
    if not ours.index.equals(theirs.index):
        raise ValueError("the two reports did not judge the same queries")
    change = ours.to_numpy() - theirs.to_numpy()
    losses, changed = int((change < 0).sum()), int((change != 0).sum())
    chance = 1.0
    if changed:
        chance = float(stats.binomtest(losses, changed, 0.5, "greater").pvalue)
    return SignTest(float(change.mean()), chance, 0.5**changed)


def able_to_alarm(least: Sequence[float], alpha: float) -> list[bool]:
    """Which of several discrete tests could raise an alarm at all (Gilbert 2005, after Tarone).

    K is the fewest tests such that at most K of them could reach alpha / K; only those are
    corrected for. The choice knows how many queries of a class changed and not which way, so it is
    fair.

    Args:
        least: the smallest p value that each test could give.
        alpha: that corrected p values are compared with.
    """
    smallest = np.asarray(least, float)
    for K in range(1, len(smallest) + 1):
        able = smallest <= alpha / K
        if able.sum() <= K:
            return [bool(one) for one in able]
    return []


def _outcomes(report: RetrievalReport, metric: str) -> pd.Series:
    values = report.per_query[outcome_column(metric)].to_numpy(float)
    images = report.per_query["image_id"]
    if images.duplicated().any():
        raise ValueError(f"the report of {report.name} judges an image twice")
    if not np.isfinite(values).all():
        raise ValueError(f"an outcome of {report.name} is missing or not finite")
    return pd.Series(values, images.to_numpy()).sort_index()
