"""The figures that a gate may rest on, and where they come from.

| metric | source | per query |
|---|---|---|
| recall_at_1, _2, _4, _8, map_at_r | retrieval report | yes |
| negative_flip_rate | share of queries that the reference finds at rank 1 and the candidate does not | yes |
| worst_class_recall_at_1 | retrieval report: the lowest Recall@1 of a class | no |
| encode_ms_p50, encode_ms_p95, embedding_width, reload_agreement | measurements of the encoder | no |
| drift_warnings, drift.NAME | drift report: how many warnings, or one of its figures | no |

A figure with an outcome per query has an interval clustered by class; the others are points.
NMI is none of them: it moves by several points with the seed of its k-means.
"""

import math

import numpy as np
import pandas as pd

from saga.gates.base import CANDIDATE, Evidence, MissingMetricError, percent
from saga.retrieval.report import RetrievalReport, outcome_column
from saga.retrieval.statistics import Difference, clustered_mean, estimate

RATES = ("recall_at_1", "recall_at_2", "recall_at_4", "recall_at_8", "map_at_r")
FLIPS, WORST_CLASS = "negative_flip_rate", "worst_class_recall_at_1"
MEASURED = ("encode_ms_p50", "encode_ms_p95", "embedding_width", "reload_agreement")
DRIFT_WARNINGS, DRIFT = "drift_warnings", "drift."
KNOWN = (*RATES, FLIPS, WORST_CLASS, *MEASURED, DRIFT_WARNINGS)
FRACTIONS = (*RATES, FLIPS, WORST_CLASS, "reload_agreement")
TOLERANCE = 1e-9
SPOKEN = {
    FLIPS: "the negative flip rate",
    WORST_CLASS: "the worst class's Recall@1",
    "encode_ms_p50": "the median time to encode an image",
    "encode_ms_p95": "the 95th percentile of the time to encode an image",
    "embedding_width": "the embedding width",
    "reload_agreement": "the agreement after reload",
    DRIFT_WARNINGS: "the number of drift warnings",
}


def check_metric(metric: str, allowed: tuple[str, ...] = KNOWN) -> None:
    """Refuse a metric that no gate, or not this one, may rest on.

    Raises:
        ValueError: naming those that one may.
    """
    if metric == "nmi":
        raise ValueError(
            "metric: nmi moves by several points with the seed of its k-means, so no gate may rest "
            f"on it; allowed are {', '.join(allowed)}"
        )
    drift = metric.startswith(DRIFT) and len(metric) > len(DRIFT) and DRIFT_WARNINGS in allowed
    if metric not in allowed and not drift:
        names = [*allowed, *(["drift.NAME"] if DRIFT_WARNINGS in allowed else [])]
        raise ValueError(f"metric must be one of {', '.join(names)}, got {metric!r}")


def has_outcomes(metric: str) -> bool:
    """Whether a metric has a value for each query, hence an interval."""
    return metric in RATES or metric == FLIPS


def of_drift(metric: str) -> bool:
    """Whether a metric comes from the drift report, which is of no single encoder."""
    return metric == DRIFT_WARNINGS or metric.startswith(DRIFT)


def figure(
    evidence: Evidence, metric: str, role: str = CANDIDATE, reference: str | None = None
) -> float:
    """A metric of the candidate, or of the encoder of another role.

    Args:
        evidence: what was judged.
        metric: a name of the table above.
        role: whose figure.
        reference: for negative_flip_rate, against whom.

    Raises:
        MissingMetricError: if it is not among the evidence.
        ValueError: if it is no number or does not fit to what else the evidence says.
    """
    if metric == FLIPS:
        return float(flips(evidence, reference).mean())
    if of_drift(metric):
        return _drift(evidence, metric)
    if metric in MEASURED:
        return _measured(evidence, metric, role)
    report = evidence.candidate if role == CANDIDATE else evidence.reference(role)
    if metric == WORST_CLASS:
        rate_of(report, "recall_at_1")
        return float(report.per_class["recall_at_1"].min())
    return rate_of(report, metric)


def interval(
    evidence: Evidence, metric: str, level: float, reference: str | None = None
) -> Difference:
    """The candidate's metric with its class-clustered interval; it must have outcomes per query."""
    if metric == FLIPS:
        values = flips(evidence, reference)
        classes = values.index.get_level_values("class_id").to_series(index=values.index)
        return clustered_mean(values, classes, level)
    return estimate(evidence.candidate, metric, level)


def rate_of(report: RetrievalReport, metric: str) -> float:
    """A report's figure, checked against the outcomes that it must be the mean of.

    Raises:
        MissingMetricError: if it is missing.
        ValueError: if it is not a rate, or not what the queries say.
    """
    value = report.metrics.get(metric)
    if value is None:
        raise MissingMetricError(f"the report of {report.name} has no {metric}")
    if not math.isfinite(value) or not 0 <= value <= 1:
        raise ValueError(f"{metric} of {report.name} is {value}, which is not a rate")
    column = outcome_column(metric)
    if column not in report.per_query:
        raise MissingMetricError(
            f"the report of {report.name} has no outcomes per query for {metric}"
        )
    mean = float(report.per_query[column].to_numpy(float).mean())  # nan where one is missing
    if not math.isclose(mean, value, abs_tol=TOLERANCE):
        raise ValueError(
            f"{metric} of {report.name} is {value} in its figures and {mean} over its queries"
        )
    return value


def flips(evidence: Evidence, reference: str | None) -> pd.Series:
    """1 for each query that only the reference finds at rank 1, by class and image."""
    assert reference is not None, "a gate on flips has a reference"
    ours, theirs = _hits(evidence.candidate), _hits(evidence.reference(reference))
    if not ours.index.equals(theirs.index):
        raise ValueError(f"candidate and {reference} did not judge the same queries")
    return pd.Series(np.asarray(theirs & ~ours, float), ours.index)


def spoken(metric: str) -> str:
    """A metric for a sentence: recall_at_1 -> "Recall@1"."""
    if metric == "map_at_r":
        return "MAP@R"
    if metric in RATES:
        return f"Recall@{metric.rpartition('_')[2]}"
    return SPOKEN.get(metric, metric)


def opening(metric: str) -> str:
    """A metric at the beginning of a sentence: "The negative flip rate"."""
    name = spoken(metric)
    return f"{name[0].upper()}{name[1:]}"


def said(metric: str, value: float) -> str:
    """A figure for a sentence, in its unit."""
    if metric in FRACTIONS:
        return percent(value)
    return f"{value:.1f} ms" if metric.startswith("encode_ms") else f"{value:g}"


def _hits(report: RetrievalReport) -> pd.Series:
    rate_of(report, "recall_at_1")
    if report.per_query["image_id"].duplicated().any():
        raise ValueError(f"the report of {report.name} judges an image twice")
    index = pd.MultiIndex.from_frame(report.per_query[["class_id", "image_id"]])
    return pd.Series(report.per_query["hit_at_1"].to_numpy(bool), index).sort_index()


def _measured(evidence: Evidence, metric: str, role: str) -> float:
    found = evidence.measurements.get(role)
    if found is None or metric not in found.figures:
        raise MissingMetricError(f"{metric} of the {role} was not measured")
    report = evidence.candidate if role == CANDIDATE else evidence.references.get(role)
    if report is not None and found.encoder_digest != report.encoder_digest:
        raise ValueError(f"another encoder was measured than the {role} that was judged")
    return _finite(metric, found.figures[metric])


def _drift(evidence: Evidence, metric: str) -> float:
    if evidence.drift is None:
        raise MissingMetricError("there is no drift report")
    if metric == DRIFT_WARNINGS:
        return float(len(evidence.drift.warnings))
    name = metric.removeprefix(DRIFT)
    if name not in evidence.drift.figures:
        raise MissingMetricError(
            f"the drift report has no {name}; it has {', '.join(sorted(evidence.drift.figures))}"
        )
    return _finite(metric, evidence.drift.figures[name])


def _finite(metric: str, value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{metric} is {value}, which is not a number")
    return value
