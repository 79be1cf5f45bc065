"""What is taken from Evidently: its domain classifier and its drift of single columns.

It is imported where it is used: its import takes seconds. The methods are called directly, without
its Report: that draws a chart of every column, its pages show text as it comes, unescaped, and its
preset for embeddings always runs t-SNE.
"""

import logging
import os
from collections.abc import Sequence

import numpy as np
import pandas as pd

PSI, WASSERSTEIN = "psi", "wasserstein"
"""Evidently's names of the methods: over Sturges' bins; normed by the reference's deviation."""


def domain_auc(current: np.ndarray, reference: np.ndarray) -> float:
    """How well a linear classifier tells two sets of embeddings apart on held-out halves.

    Args:
        current: vectors (n, E).
        reference: vectors (m, E).

    Returns:
        The area under its ROC curve; 0.5 where it cannot.
    """
    _quiet()
    from evidently.legacy.metrics.data_drift.embedding_drift_methods import ModelDriftMethod

    # It adds a column to what it is given, and scikit-learn wants all names to be text.
    names = [f"e{i}" for i in range(current.shape[1])]
    frames = [pd.DataFrame(np.asarray(v, np.float64), columns=names) for v in (current, reference)]
    score, _, _ = ModelDriftMethod()(current_emb=frames[0], reference_emb=frames[1])
    return float(score)


def column_drift(
    current: pd.DataFrame, reference: pd.DataFrame, columns: Sequence[str], method: str
) -> dict[str, float]:
    """Drift of each column of numbers.

    Args:
        current: one row per image.
        reference: the same columns.
        columns: to compare.
        method: `PSI` or `WASSERSTEIN`.
    """
    _quiet()
    from evidently.legacy.calculations.stattests import get_stattest
    from evidently.legacy.core import ColumnType

    drift = {}
    for name in columns:
        pair = [frame[name].astype(float).reset_index(drop=True) for frame in (reference, current)]
        test = get_stattest(*pair, ColumnType.Numerical, method)
        drift[name] = float(test(*pair, ColumnType.Numerical, test.default_threshold).drift_score)
    return drift


def _quiet() -> None:
    """Nothing is sent and nothing is said."""
    os.environ["DO_NOT_TRACK"] = "1"
    logging.getLogger("evidently").setLevel(logging.WARNING)
