"""Recall@K of several encoders with their class-clustered intervals."""

from collections.abc import Mapping

from saga.reports.charts import MARKS, METHOD_COLORS, legend_below, panels, plain, png_of
from saga.retrieval.report import RetrievalReport

SPREAD = 0.09
"""Room between the methods at one K, where the next K is 1 away."""


def recall_chart(reports: Mapping[str, RetrievalReport]) -> bytes:
    """PNG of Recall@K over K, a line for each method.

    Args:
        reports: by method.

    Raises:
        ValueError: if there is none.
    """
    ks = sorted({K for report in reports.values() for K in report.ks})
    if not ks:
        raise ValueError("a recall chart needs at least one report with queries")
    figure, (axis,) = panels(["Recall@K on unseen classes, %"], columns=1, height=3.6)
    for number, (name, report) in enumerate(reports.items()):
        color = METHOD_COLORS[number % len(METHOD_COLORS)]
        offset = SPREAD * (number - (len(reports) - 1) / 2)
        places = [ks.index(K) + offset for K in report.ks]
        recalls = [100 * report.metrics[f"recall_at_{K}"] for K in report.ks]
        axis.plot(
            places,
            recalls,
            MARKS[number % len(MARKS)],
            linestyle="-",
            color=color,
            label=plain(name),
            markersize=6,
            linewidth=1.2,
        )
        for place, K in zip(places, report.ks):
            if f"recall_at_{K}" in report.intervals:
                low, high = (
                    100 * min(max(end, 0.0), 1.0) for end in report.intervals[f"recall_at_{K}"]
                )
                axis.plot([place, place], [low, high], "_-", color=color, alpha=0.7, markersize=8)
    axis.set_xticks(range(len(ks)), [f"R@{K}" for K in ks])
    axis.set_ylim(0, 100)
    legend_below(axis, len(reports), 0.07)
    return png_of(figure)
