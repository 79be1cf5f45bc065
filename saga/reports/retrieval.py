"""The page of one encoder's retrieval: figures, gallery, classes, slices, embedding space."""

from typing import Any

import pandas as pd

from saga.gates.metrics import RATES, spoken
from saga.reports.page import percent, rates, render
from saga.retrieval.report import RetrievalReport

CLASSES_SHOWN = 10
SLICES_SHOWN = 200
DIAGNOSTICS = {
    "spread": "Spread: 1 − mean cosine of different images; near 0 the space has collapsed",
    "mean_similarity": "Mean cosine of different images",
    "similarity_same": "Mean cosine, same class",
    "similarity_different": "Mean cosine, different classes",
    "effective_rank": "Effective rank: directions in use",
    "effective_rank_images": "Images behind the effective rank",
    "top1_similarity": "Mean cosine with the nearest image",
    "top1_similarity_right": "… where it is right",
    "top1_similarity_wrong": "… where it is wrong",
    "nmi_clusterer": "K-means behind NMI",
}


def retrieval_page(
    report: RetrievalReport, gallery_png: bytes | None, attention_png: bytes | None = None
) -> str:
    """HTML of a report.

    Args:
        report: one encoder on one set of images.
        gallery_png: from `saga.reports.gallery`; None leaves it out.
        attention_png: from `saga.reports.attention`; None leaves it out.
    """
    table, slices = report.per_class, report.per_slice
    few = len(table) <= 2 * CLASSES_SHOWN
    worst = table if few else table.head(CLASSES_SHOWN)
    best = table.iloc[:0] if few else table.tail(CLASSES_SHOWN).iloc[::-1]
    return render(
        "retrieval.html.jinja",
        report=report,
        metrics=[_metric(report, name) for name in report.metrics],
        gallery=gallery_png,
        attention=attention_png,
        few=few,
        worst=_records(worst),
        best=_records(best),
        slices=_records(slices.head(SLICES_SHOWN)),
        slices_left_out=max(0, len(slices) - SLICES_SHOWN),
        diagnostics=[(DIAGNOSTICS.get(k, k), _figure(v)) for k, v in report.facts.items()],
        settings=[(name, _figure(value)) for name, value in report.config.items()],
    )


def _metric(report: RetrievalReport, name: str) -> tuple[str, str, str]:
    """Its name, value and interval, for a row of the table."""
    known = name in RATES or name.startswith("recall_at_")
    label = spoken(name) if known else name.upper()
    return label, percent(report.metrics[name]), rates(report.intervals.get(name))


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in record.items()} for record in table.to_dict("records")]


def _figure(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
