"""Reports made from outcomes, and the clustered interval written out in loops."""

from dataclasses import replace
from math import sqrt
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from saga.retrieval.report import RetrievalReport

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
