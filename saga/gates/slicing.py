"""One report for each slice of the queries.

`class_size`   small, medium and large classes, by thirds of the classes' numbers of queries;
`corruption`   the same queries, corrupted, against the clean gallery (Recall@1 only);
`class`        every class by itself;
any other      a column "slice.<name>" of the reports, such as attribute.color.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from saga.gates.base import MissingMetricError
from saga.retrieval.corruptions import PREFIX as CORRUPTED
from saga.retrieval.report import RetrievalReport, outcome_column
from saga.retrieval.slices import PREFIX

CLASS_SIZE, CORRUPTION, CLASS = "class_size", "corruption", "class"
SIZES = ("small", "medium", "large")


def sliced(report: RetrievalReport, slicing: str, metric: str) -> dict[str, RetrievalReport]:
    """The report of each slice, by the slice's name; queries that belong to none are left out.

    Raises:
        MissingMetricError: if the report cannot be sliced so.
    """
    if slicing == CORRUPTION:
        return _corrupted(report, metric)
    if slicing == CLASS_SIZE:
        values = _class_sizes(report)
    elif slicing == CLASS:
        values = report.per_query["class_name"].astype(str)
    elif f"{PREFIX}{slicing}" in report.per_query:
        values = report.per_query[f"{PREFIX}{slicing}"]
    else:
        known = ", ".join((CLASS_SIZE, CORRUPTION, CLASS, *report.slices))
        raise MissingMetricError(
            f"the report of {report.name} has no slices by {slicing} (it has {known})"
        )
    groups = report.per_query.groupby(values.to_numpy(), sort=True)
    return {str(value): _of(report, rows, metric) for value, rows in groups}


def _of(report: RetrievalReport, rows: pd.DataFrame, metric: str) -> RetrievalReport:
    mean = float(rows[outcome_column(metric)].astype(float).mean())
    return replace(report, per_query=rows, metrics={metric: mean})


def _corrupted(report: RetrievalReport, metric: str) -> dict[str, RetrievalReport]:
    if metric != "recall_at_1":
        raise ValueError("under corruptions only recall_at_1 is kept")
    if not report.corruptions:
        raise MissingMetricError(
            f"the report of {report.name} has no corrupted queries: name some in evaluation.corruptions"
        )
    found = {}
    for name in report.corruptions:
        rows = report.per_query.assign(hit_at_1=report.per_query[f"{CORRUPTED}{name}"])
        found[name] = _of(report, rows, metric)
    return found


def _class_sizes(report: RetrievalReport) -> pd.Series:
    """The third of each query's class; classes of one size fall into one slice."""
    sizes = report.per_query.groupby("class_id").size()
    limits = np.quantile(sizes.to_numpy(), [1 / 3, 2 / 3])
    third = np.searchsorted(limits, sizes.to_numpy(), side="left")
    return report.per_query["class_id"].map(dict(zip(sizes.index, np.array(SIZES)[third])))
