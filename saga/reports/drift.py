"""The page of a drift report: what changed, against which limit, and the queries that are farthest."""

from typing import Any

import numpy as np
import pandas as pd

from saga.monitoring.image_statistics import STATISTICS
from saga.monitoring.report import MEASURES, DriftReport
from saga.monitoring.similarities import SIMILARITIES
from saga.monitoring.verdict import State, Verdict
from saga.reports.charts import METHOD_COLORS, panels, png_of
from saga.reports.page import render

STRANGEST = 10
BINS = 40
CENTRAL = (0.005, 0.995)
"""Quantiles between which a histogram is drawn; what lies outside is in its last bars."""
SHADES = {
    State.STEADY: "passed",
    State.WATCH: "warning",
    State.RETRAIN: "failed",
    State.INCONCLUSIVE: "warning",
}


def drift_page(report: DriftReport, verdict: Verdict | None = None, proposal: str = "") -> str:
    """HTML of a report.

    Args:
        report: what was measured.
        verdict: what follows from it; None where nobody judges it.
        proposal: command for a retraining, or "".
    """
    return render(
        "drift.html.jinja",
        report=report,
        verdict=verdict,
        shade=SHADES[verdict.state] if verdict else "",
        proposal=proposal,
        figures=[_figure(report, name) for name in report.figures],
        chart=drift_chart(report),
        strangest=_strangest(report),
        explained=SIMILARITIES | STATISTICS,
    )


def drift_chart(report: DriftReport) -> bytes | None:
    """Histograms of what was measured, a panel each, a colour a sample; None where there is none."""
    table = report.images
    shown = [name for name in MEASURES if table[name].notna().any()]
    if not shown:
        return None
    samples = list(report.rows)
    figure, axes = panels(shown, columns=3, height=2.2)
    for name, axis in zip(shown, axes):
        edges = _edges(_numbers(table[name]))
        for sample, color in zip(samples, METHOD_COLORS):
            values = _numbers(table.loc[table["sample"] == sample, name])
            if len(values):
                heights, _ = np.histogram(values.clip(edges[0], edges[-1]), edges)
                axis.stairs(heights / len(values), edges, color=color, label=sample)
        axis.set_yticks([])
        axis.locator_params(axis="x", nbins=4)
    handles = {
        label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels())
    }
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=4, frameon=False
    )
    return png_of(figure)


def _numbers(column: pd.Series) -> np.ndarray:
    return column.dropna().to_numpy(float)


def _edges(values: np.ndarray) -> np.ndarray:
    low, high = np.quantile(values, CENTRAL)
    room = high - low or max(0.1 * abs(high), 1e-3)
    return np.linspace(low - 0.02 * room, high + 0.02 * room, BINS + 1)


def _figure(report: DriftReport, name: str) -> dict[str, Any]:
    """A row of the table."""
    threshold = report.thresholds.get(name)
    if threshold is None:
        outcome, shade = "for information", "soft"
    elif report.figures[name] > threshold:
        outcome, shade = "above", "warning"
    else:
        outcome, shade = "within", "passed"
    return {
        "name": name,
        "value": _number(report.figures[name]),
        "expected": _number(report.expected.get(name)),
        "threshold": _number(threshold),
        "outcome": outcome,
        "shade": shade,
    }


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _strangest(report: DriftReport) -> list[tuple[str, str]]:
    """The queries whose nearest gallery image is farthest, with the similarity."""
    queries = report.images[report.images["sample"] == "queries"].dropna(subset=["top1"])
    lowest = queries.sort_values(["top1", "image"]).head(STRANGEST)
    return [(str(name), f"{top1:.3f}") for name, top1 in zip(lowest["image"], lowest["top1"])]
