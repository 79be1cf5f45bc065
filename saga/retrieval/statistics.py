"""Is one encoder better than another? Paired differences clustered by class.

Queries of one class succeed and fail together, so they are not independent: tests over queries err
far more often than they say (14-39 % at a nominal 5 %). The class is the unit here.

The estimate is the difference of query means, D = Σ_c s_c / Σ_c n_c, with s_c a class's summed
differences and n_c its queries. Two intervals:

- cluster-robust t (default): Var D = C/(C-1) · Σ_c (s_c - D n_c)² / (Σ_c n_c)², the ratio
  estimator's over C classes; Student's t with C - 1 degrees of freedom;
- class bootstrap: classes drawn with replacement, D anew each time, percentiles. It is a little too
  narrow below some 30 classes.

Both take the classes for a sample of the classes that the service will meet.

Power: with a true difference δ, (D - null) / SE is noncentral t with C - 1 degrees of freedom and
noncentrality (δ - null) / SE, and SE falls with the root of the number of classes.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from saga.retrieval.report import RetrievalReport, outcome_column

LEVEL = 0.95
RESAMPLES = 4000
DRAWS_AT_ONCE = 1 << 22
POWER = 0.8
MOST_CLASSES = 10**9
"""More than this is never worth asking for."""
Method = Literal["clustered_t", "class_bootstrap"]
Side = Literal["greater", "less"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean and its two-sided interval, in fractions."""

    mean: float
    low: float
    high: float
    standard_error: float
    classes: int
    queries: int
    level: float = LEVEL
    """Confidence of the interval."""
    method: Method = "clustered_t"


def paired_difference(
    candidate: RetrievalReport,
    baseline: RetrievalReport,
    metric: str,
    level: float = LEVEL,
    method: Method = "clustered_t",
    seed: int = 0,
) -> Difference:
    """Candidate minus baseline on the same queries.

    Args:
        candidate: report of the encoder under judgement.
        baseline: report of the other.
        metric: recall_at_K or map_at_r.
        level: of the two-sided interval.
        method: "clustered_t" or "class_bootstrap".
        seed: of the bootstrap.

    Raises:
        ValueError: if the metric has no per-query outcome, the queries differ, a value is missing
            or there are fewer than two classes.
    """
    ours, theirs = _outcome(candidate, metric), _outcome(baseline, metric)
    if len(ours) != len(theirs) or not ours.index.equals(theirs.index):
        shared = len(ours.index.intersection(theirs.index))
        raise ValueError(
            f"the two reports did not judge the same queries ({len(ours)} of {candidate.name}, "
            f"{len(theirs)} of {baseline.name}, {shared} shared)"
        )
    return _mean_of(ours - theirs, level, method, seed)


def estimate(
    report: RetrievalReport,
    metric: str,
    level: float = LEVEL,
    method: Method = "clustered_t",
    seed: int = 0,
) -> Difference:
    """One encoder's own metric with its class-clustered interval; errors as `paired_difference`."""
    return _mean_of(_outcome(report, metric), level, method, seed)


def clustered_mean(values: pd.Series, classes: pd.Series, level: float = LEVEL) -> Difference:
    """Mean of per-query values with the cluster-robust t interval.

    Args:
        values: one number per query.
        classes: the class of each.
        level: of the two-sided interval, in (0, 1).

    Raises:
        ValueError: if there are fewer than two classes or a value is missing.
    """
    sums, sizes = _class_sums(values, classes, level)
    C = len(sums)
    mean, error = _ratio(sums, sizes)
    reach = float(stats.t.ppf(0.5 + level / 2, C - 1)) * error
    return Difference(mean, mean - reach, mean + reach, error, C, int(sizes.sum()), level)


def bootstrap_mean(
    values: pd.Series,
    classes: pd.Series,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Mean of per-query values with the class bootstrap's percentile interval.

    Arguments and errors as `clustered_mean`; equal seeds give equal intervals.
    """
    sums, sizes = _class_sums(values, classes, level)
    C, rng = len(sums), np.random.default_rng(seed)
    block = max(1, DRAWS_AT_ONCE // C)
    means = []
    for start in range(0, resamples, block):
        drawn = rng.multinomial(C, np.full(C, 1 / C), size=min(block, resamples - start))
        means.append((drawn @ sums) / (drawn @ sizes))
    spread = np.concatenate(means)
    low, high = np.quantile(spread, [0.5 - level / 2, 0.5 + level / 2])
    mean, error = float(sums.sum() / sizes.sum()), float(spread.std(ddof=1))
    return Difference(
        mean, float(low), float(high), error, C, int(sizes.sum()), level, "class_bootstrap"
    )


def p_value(difference: Difference, null: float, side: Side) -> float:
    """One-sided p-value of the clustered t test.

    Args:
        difference: with its class-clustered standard error.
        null: the difference that the test would rule out: 0, or minus a margin.
        side: "greater" where the claim is that the true difference is above `null`.

    Returns:
        The chance of a difference at least as far on that side if the truth were `null`. Without
        any spread over the classes 0 where the claim holds, else 1.

    Raises:
        ValueError: if the interval is the bootstrap's, which has no t.
    """
    _check_t(difference)
    if side not in ("greater", "less"):
        raise ValueError(f"side must be greater or less, got {side!r}")
    distance = difference.mean - null if side == "greater" else null - difference.mean
    if difference.standard_error == 0:
        return float(distance <= 0)
    return float(stats.t.sf(distance / difference.standard_error, difference.classes - 1))


def power(
    difference: Difference,
    margin: float,
    true_difference: float = 0.0,
    classes: int | None = None,
) -> float:
    """Chance that the interval's lower end lies above -margin.

    Args:
        difference: gives spread over classes and level.
        margin: the loss that is still allowed; 0 asks for superiority.
        true_difference: candidate minus reference in truth; 0 for an equal encoder.
        classes: as many, of the same kind; None takes those of `difference`.

    Raises:
        ValueError: if the interval is the bootstrap's or there are fewer than two classes.
    """
    _check_t(difference)
    C = difference.classes if classes is None else classes
    if C < 2:
        raise ValueError(f"an interval over classes needs at least two, got {C}")
    error = difference.standard_error * float(np.sqrt(difference.classes / C))
    if error == 0:
        return float(true_difference > -margin)
    least = stats.t.ppf(0.5 + difference.level / 2, C - 1)
    return float(stats.nct.sf(least, C - 1, (true_difference + margin) / error))


def classes_needed(
    difference: Difference,
    margin: float,
    true_difference: float = 0.0,
    wanted: float = POWER,
) -> int:
    """Fewest classes, of the same kind as those seen, with which `power` reaches `wanted`.

    Args:
        difference: what the classes so far gave.
        margin: the loss that is still allowed.
        true_difference: in truth; margin + true_difference must be above 0.
        wanted: chance of passing, in (0, 1).

    Raises:
        ValueError: if no number of classes could do, or only more than a thousand million.
    """
    if margin + true_difference <= 0:
        raise ValueError("no number of classes shows a difference that is not there")
    if not 0 < wanted < 1:
        raise ValueError(f"wanted must be in (0, 1), got {wanted}")
    high = 2
    while power(difference, margin, true_difference, high) < wanted:
        high *= 2
        if high > MOST_CLASSES:
            raise ValueError(f"a difference of {margin + true_difference} needs too many classes")
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        enough = power(difference, margin, true_difference, middle) >= wanted
        low, high = (low, middle) if enough else (middle, high)
    return high


def _check_t(difference: Difference) -> None:
    if difference.method != "clustered_t":
        raise ValueError(f"the t test needs a clustered_t interval, got {difference.method}")


def _mean_of(values: pd.Series, level: float, method: Method, seed: int) -> Difference:
    classes = values.index.get_level_values("class_id").to_series(index=values.index)
    if method == "class_bootstrap":
        return bootstrap_mean(values, classes, level, seed=seed)
    if method != "clustered_t":
        raise ValueError(f"method must be clustered_t or class_bootstrap, got {method!r}")
    return clustered_mean(values, classes, level)


def _ratio(sums: np.ndarray, sizes: np.ndarray) -> tuple[float, float]:
    """Σ sums / Σ sizes and its standard error over classes."""
    C, queries = len(sums), sizes.sum()
    mean = float(sums.sum() / queries)
    residual = sums - mean * sizes
    return mean, float(np.sqrt(C / (C - 1) * (residual**2).sum()) / queries)


def _class_sums(
    values: pd.Series, classes: pd.Series, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of the values of each class."""
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got {level}")
    numbers = values.to_numpy(float)
    if not np.isfinite(numbers).all():
        raise ValueError("a value is missing or not finite")
    _, members = np.unique(classes.to_numpy(), return_inverse=True)
    sizes = np.bincount(members)
    if len(sizes) < 2:
        raise ValueError(f"an interval over classes needs at least two, got {len(sizes)}")
    return np.bincount(members, weights=numbers), sizes.astype(float)


def _outcome(report: RetrievalReport, metric: str) -> pd.Series:
    """The metric's value for each query, by class and image."""
    column = outcome_column(metric)
    if column not in report.per_query:
        allowed = [*(f"recall_at_{K}" for K in report.ks), "map_at_r"]
        raise ValueError(
            f"{metric} has no outcome per query in the report of {report.name}; it has "
            f"{', '.join(allowed)}"
        )
    table = report.per_query
    if table["image_id"].duplicated().any():
        raise ValueError(f"the report of {report.name} judges an image twice")
    index = pd.MultiIndex.from_frame(table[["class_id", "image_id"]])
    return pd.Series(table[column].to_numpy(float), index).sort_index()
