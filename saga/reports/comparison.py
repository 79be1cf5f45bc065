"""The comparison of a run: a row for each method, and one for each difference between two."""

import math
from collections.abc import Mapping
from typing import Any

from saga.reports.bars import interval_bar
from saga.reports.page import duration, percent, points, rates

Facts = Mapping[str, Any]
METRICS = {
    "recall_at_1": "R@1",
    "recall_at_2": "R@2",
    "recall_at_4": "R@4",
    "recall_at_8": "R@8",
    "map_at_r": "MAP@R",
    "nmi": "NMI",
}
METHODS = {
    "pretrained": "the tower as it comes, mean-pooled",
    "dml": "trained by the metric loss alone: same data, seed and number of steps",
    "kl": "metric loss and attention alignment, without verdicts",
    "grpo": "metric loss and verdicts, without attention alignment",
    "kl_only": "attention alignment alone; the tower stays as it comes",
    "saga": "the candidate: metric loss, and what the supervisor teaches",
    "production": "the version in use as the candidate was judged",
}
"""What the usual methods are, in the order of the table."""


def method_rows(methods: Facts) -> list[dict[str, Any]]:
    """Rows of the table of methods.

    Args:
        methods: figures by method, as a summary holds them; any may be missing.
    """
    return [_method(name, methods[name]) for name in _ordered(methods)]


def _ordered(methods: Facts) -> list[str]:
    """The usual methods first, in their usual order."""
    return [*(n for n in METHODS if n in methods), *(n for n in methods if n not in METHODS)]


def _method(name: str, facts: Facts) -> dict[str, Any]:
    """A row of the table: name, (value, interval) of each metric, and how it was trained."""
    intervals = facts.get("intervals") or {}
    cells = []
    for metric in METRICS:
        cells.append((percent(facts.get(metric)), rates(intervals.get(metric), "–")))
    steps, seconds = facts.get("steps"), facts.get("train_seconds")
    return {
        "name": name,
        "cells": cells,
        "steps": _or_dash(steps),
        "seconds": "–" if steps == 0 else duration(seconds),
        "seed": _or_dash(facts.get("seed")),
    }


def compared(differences: Facts) -> dict[str, str]:
    """Labels of the metrics that are compared."""
    names = {metric for found in differences.values() for metric in found}
    known = {metric: label for metric, label in METRICS.items() if metric in names}
    return known | {metric: metric for metric in sorted(names - known.keys())}


def difference_rows(
    differences: Facts, methods: list[str], study: Facts | None = None
) -> list[dict[str, Any]]:
    """A row for each pair of methods; the bars of one metric share a scale and 0.

    Args:
        differences: by "a-b", then by metric: mean, low, high.
        methods: names of the methods.
        study: differences of R@1 that a study found, by "a-b"; None where none is shown.
    """
    pairs = {f"{a}-{b}": f"{a} − {b}" for a in methods for b in methods if a != b}
    rows = []
    for name, found in differences.items():
        cells = []
        for metric in compared(differences):
            facts = found.get(metric) or {}
            mean, low, high = (facts.get(key) for key in ("mean", "low", "high"))
            text = _told_of(facts) if facts else "–"
            bar = interval_bar(mean, low, high, 0.0, _span(differences, metric))
            cells.append((text, bar, told(low, high) if facts else ""))
        row = {"name": pairs.get(name, name), "cells": cells}
        if study is not None:
            row["study"] = _told_of(study[name]) if name in study else "–"
        rows.append(row)
    return rows


def _told_of(facts: Facts) -> str:
    return f"{points(facts['mean'])} ({points(facts['low'])} to {points(facts['high'])})"


def told(low: float | None, high: float | None) -> str:
    """What an interval of a difference says."""
    if low is None or high is None:
        return ""
    return "better" if low > 0 else "worse" if high < 0 else "not told apart"


def _span(differences: Facts, metric: str) -> tuple[float, float]:
    found = [f.get(metric) or {} for f in differences.values()]
    ends = [f.get(key) for f in found for key in ("low", "high")]
    known = [end for end in ends if end is not None and math.isfinite(end)]
    return min([0.0, *known]), max([0.0, *known])


def _or_dash(value: Any) -> str:
    return "–" if value is None else str(value)
