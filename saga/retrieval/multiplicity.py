"""Several tests at once: p-values adjusted so that each may still be compared with one alpha.

Holm keeps the chance of any false alarm (family-wise error) below alpha, whatever the dependence
between the tests; Benjamini-Hochberg keeps the expected share of false alarms among the alarms
below it, where the tests are independent or positively dependent, as slices of one set of queries
mostly are.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted by Holm's step-down, in the order given: max over j ≤ i of (m - j + 1) p₍ⱼ₎.

    Args:
        p_values: one a test, in [0, 1]; none gives none.

    Raises:
        ValueError: if one is not a probability.
    """
    given = _checked(p_values)
    order = given.argsort(kind="stable")
    adjusted = np.empty_like(given)
    raised = given[order] * np.arange(len(given), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(raised), 1)
    return [float(p) for p in adjusted]


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted by Benjamini and Hochberg's step-up, in the order given; otherwise as `holm`."""
    given = _checked(p_values)
    if not len(given):
        return []
    return [float(p) for p in stats.false_discovery_control(given, method="bh")]


def _checked(p_values: Sequence[float]) -> np.ndarray:
    given = np.asarray(p_values, float)
    if not ((given >= 0) & (given <= 1)).all():
        raise ValueError(f"p-values must be in [0, 1], got {list(p_values)}")
    return given
