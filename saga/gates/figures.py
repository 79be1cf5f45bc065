"""Reads a metric and its outcomes from a report, or says why it cannot."""

import math

from saga.retrieval.report import RetrievalReport, outcome_column

TOLERANCE = 1e-9


def metric_of(report: RetrievalReport, metric: str) -> float:
    """A report's figure, checked against the outcomes that it must be the mean of.

    Raises:
        ValueError: if it is missing, not a rate, or not what the queries say.
    """
    value = report.metrics.get(metric)
    if value is None:
        raise ValueError(f"the report of {report.name} has no {metric}")
    if not math.isfinite(value) or not 0 <= value <= 1:
        raise ValueError(f"{metric} of {report.name} is {value}, which is not a rate")
    column = outcome_column(metric)
    if column not in report.per_query:
        raise ValueError(f"the report of {report.name} has no outcomes per query for {metric}")
    mean = float(report.per_query[column].astype(float).mean())
    if not math.isclose(mean, value, abs_tol=TOLERANCE):
        raise ValueError(
            f"{metric} of {report.name} is {value} in its figures and {mean} over its queries"
        )
    return value
