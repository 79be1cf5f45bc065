"""Reports made from outcomes, and the clustered interval written out in loops."""

from dataclasses import dataclass, field, replace
from math import sqrt
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from saga.gates.base import Evidence, Gate, GateResult, Statistics
from saga.retrieval.report import RetrievalReport, outcome_column

METRICS = {"recall_at_1": "hit_at_1", "recall_at_4": "hit_at_4", "map_at_r": "ap_at_r"}


def report_of(outcomes: list[Any], name: str = "saga", **changes: Any) -> RetrievalReport:
    """A report whose query outcomes are given: a list of numbers per class.

    Recall@1 and MAP@R have the outcomes as they are; at Recall@4 every query hits.
    """
    classes = np.repeat(np.arange(len(outcomes)), [len(values) for values in outcomes])
    values = np.concatenate([np.asarray(v, float) for v in outcomes])
    frame = pd.DataFrame(
        {
            "image_id": [f"image-{i}" for i in range(len(values))],
            "class_id": classes,
            "class_name": [f"class {c}" for c in classes],
            "hit_at_1": values,
            "hit_at_4": 1.0,
            "ap_at_r": values,
        }
    )
    report = RetrievalReport(
        name=name,
        metrics={metric: float(frame[column].mean()) for metric, column in METRICS.items()},
        per_query=frame,
        encoder_digest=f"encoder of {name}",
        dataset_digest="dataset",
    )
    return replace(report, **changes)


@dataclass(frozen=True)
class Measured:
    """What gates read of an encoder's measurements."""

    figures: dict[str, float]
    digest: str = "measured"
    encoder_digest: str = "encoder of saga"


@dataclass(frozen=True)
class Drift:
    """What gates read of a drift report."""

    figures: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    digest: str = "drift"


def judge(gate: Gate, candidate: RetrievalReport, **settings: Any) -> GateResult:
    """A gate's result; `alpha` and other statistics, references by role, and other evidence."""
    names = ("alpha", "margin_standard_errors")
    statistics = Statistics(**{n: settings.pop(n) for n in names if n in settings})
    others = {n: settings.pop(n) for n in ("measurements", "drift") if n in settings}
    return gate.judge(Evidence(candidate, settings, **others), statistics)


def evenly(
    mean: float, spread: float, classes: int = 20, queries: int = 3, order: int | None = None
) -> list[list[float]]:
    """Numbers of each class, whose means over the classes have this mean and deviation.

    Args:
        order: seed by which the classes are shuffled; None leaves them in rising order.
    """
    scores = stats.norm.ppf((np.arange(classes) + 0.5) / classes)
    if order is not None:
        scores = np.random.default_rng(order).permutation(scores)
    means = mean + spread * scores / scores.std(ddof=1)
    around = np.linspace(-0.01, 0.01, queries)
    return [(m + around).tolist() for m in means]


def with_outcomes(
    report: RetrievalReport, metric: str, outcomes: list[Any], shift: float = 0.5
) -> RetrievalReport:
    """Other outcomes of one metric: `shift` plus these, class by class."""
    values = shift + np.concatenate([np.asarray(v, float) for v in outcomes])
    frame = report.per_query.assign(**{outcome_column(metric): values})
    mean = float(frame[outcome_column(metric)].mean())
    return replace(report, per_query=frame, metrics=report.metrics | {metric: mean})


def with_column(report: RetrievalReport, name: str, values: Any) -> RetrievalReport:
    """A further column per query."""
    return replace(report, per_query=report.per_query.assign(**{name: values}))


def without(report: RetrievalReport, column: str) -> RetrievalReport:
    return replace(report, per_query=report.per_query.drop(columns=column))


def with_metric(report: RetrievalReport, metric: str, value: Any) -> RetrievalReport:
    metrics = {k: v for k, v in report.metrics.items() if k != metric}
    return replace(report, metrics=metrics if value is None else metrics | {metric: value})


def naive_interval(values: list[list[float]], confidence: float) -> tuple[float, float, float]:
    """Mean, lower and upper end; queries of one class count as one draw."""
    C, N = len(values), sum(map(len, values))
    mean = sum(sum(v) for v in values) / N
    squares = 0.0
    for v in values:
        squares += sum(x - mean for x in v) ** 2
    error = sqrt(C / (C - 1) * squares) / N
    reach = stats.t(C - 1).ppf((1 + confidence) / 2) * error
    return mean, mean - reach, mean + reach
