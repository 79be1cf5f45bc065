"""How training went, step by step; and how similar what is found is, right or wrong."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from saga.reports.charts import COLORS, legend_below, panels, plain, png_of
from saga.retrieval.report import RetrievalReport
from saga.training.history import TrainingHistory

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GRADIENTS = "Gradient norms by term, log"
PANELS: dict[str, dict[str, str]] = {
    "Losses, each normalised by itself": {
        "loss/dml": "DML",
        "loss/grpo": "GRPO",
        "loss/kl": "KL",
    },
    "Rollouts": {
        "rollout/reward": "reward",
        "rollout/contributing": "contributing pairs",
        "choice/contributing_explored": "contributing, drawn evenly",
        "rollout/parsed": "parsed",
        "accuracy/all": "true values described",
    },
    GRADIENTS: {
        "gradient/theta_dml": "encoder, DML",
        "gradient/theta_grpo": "encoder, GRPO",
        "gradient/phi_dml": "pooler, DML",
        "gradient/phi_kl": "pooler, KL",
    },
    "Embeddings of a batch": {
        "embedding/spread": "spread",
        "embedding/similarity_same": "cosine, same class",
        "embedding/similarity_different": "cosine, different",
    },
}
LINES = ("-", "--", ":", "-.")
SMOOTHED = 40
"""Longer trainings are averaged over a window of their length divided by this."""
BINS = 30


def training_curves(histories: Mapping[str, TrainingHistory]) -> bytes:
    """PNG of up to four panels; a colour for each figure, a line style for each arm.

    A panel whose figures none of the arms has is left out. Long trainings are shown as a moving
    average, with the steps themselves faint behind it.

    Args:
        histories: by arm.
    """
    shown = {title: names for title, names in PANELS.items() if _any(histories, names)}
    figure, axes = panels(list(shown) or ["No step recorded a figure"], height=3.1)
    for axis, (title, names) in zip(axes, shown.items()):
        if title == GRADIENTS:
            axis.set_yscale("log")
        for color, (name, label) in zip(COLORS, names.items()):
            for style, history in zip(LINES * len(histories), histories.values()):
                _draw(axis, *_series(history, name, title == GRADIENTS), color, style)
            if _any(histories, [name]):
                axis.plot([], [], color=color, label=label)
        axis.set_xlabel("step", fontsize=8)
        legend_below(axis)
    if len(histories) > 1 and shown:
        _name_arms(figure, list(histories))
    return png_of(figure)


def similarity_histogram(reports: Mapping[str, RetrievalReport]) -> bytes:
    """PNG with a panel for each method: cosine of a query and its nearest image, right or wrong.

    Where the two lie apart, the similarity itself tells whether to trust an answer.

    Args:
        reports: by method.
    """
    firsts = {name: _first_similarities(report) for name, report in reports.items()}
    everything = np.concatenate([np.zeros(0), *(first for first, _ in firsts.values())])
    if not len(everything):
        raise ValueError("no report has a query with a neighbour")
    columns = min(3, len(firsts))
    figure, axes = panels(list(firsts), columns, 2.7, shared=True)
    low, high = float(everything.min()), float(everything.max())
    bins = np.linspace(low - 0.01, max(high, low) + 0.01, BINS + 1)
    for axis, (first, hit) in zip(axes, firsts.values()):
        for right, color, hatch in ((True, COLORS[0], ""), (False, COLORS[1], "////")):
            _histogram(axis, first[hit == right], len(hit), right, bins, color, hatch)
        axis.set_xlabel("cosine with the nearest image", fontsize=8)
        axis.tick_params(labelbottom=True)
        legend_below(axis, 1, 0.24)
    axes[0].set_ylabel("queries, %", fontsize=8)
    return png_of(figure)


def _series(
    history: TrainingHistory, name: str, positive: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Steps in which a figure occurred, and its values; only those that a panel can show."""
    if name not in history.frame:
        return np.zeros(0), np.zeros(0)
    table = history.frame[["step", name]].dropna()
    steps, values = table["step"].to_numpy(float), table[name].to_numpy(float)
    keep = np.isfinite(values) & ((values > 0) | (not positive))
    return steps[keep], values[keep]


def _any(histories: Mapping[str, TrainingHistory], names: Mapping[str, str] | list[str]) -> bool:
    return any(
        len(_series(history, name, name.startswith("gradient/"))[0])
        for history in histories.values()
        for name in names
    )


def _draw(axis: "Axes", steps: np.ndarray, values: np.ndarray, color: str, style: str) -> None:
    window = max(1, len(values) // SMOOTHED)
    if window > 1:
        axis.plot(steps, values, style, color=color, linewidth=0.7, alpha=0.25)
        kernel = np.ones(window) / window
        steps, values = (np.convolve(line, kernel, "valid") for line in (steps, values))
    axis.plot(steps, values, style, color=color, linewidth=1.4)


def _name_arms(figure: "Figure", names: list[str]) -> None:
    from matplotlib.lines import Line2D

    styles = [Line2D([], [], color="#1a1f24", ls=style) for style in LINES]
    figure.legend(
        (styles * len(names))[: len(names)],
        [plain(name) for name in names],
        loc="outside upper right",
        ncols=len(names),
        fontsize=8,
        frameon=False,
    )


def _first_similarities(report: RetrievalReport) -> tuple[np.ndarray, np.ndarray]:
    """Cosine with the nearest image, and whether that one is right, of each query that has one."""
    table = report.per_query[report.per_query["similarities"].map(len) > 0]
    first = np.array([float(row[0]) for row in table["similarities"]])
    return first, table["hit_at_1"].to_numpy(bool)


def _histogram(
    axis: "Axes",
    values: np.ndarray,
    queries: int,
    right: bool,
    bins: np.ndarray,
    color: str,
    hatch: str,
) -> None:
    if not len(values):
        return
    axis.hist(
        values,
        bins.tolist(),
        weights=np.full(len(values), 100 / queries),
        histtype="stepfilled",
        facecolor=color + "40",
        edgecolor=color,
        hatch=hatch,
        linewidth=1.2,
        label=f"{'right' if right else 'wrong'}: {len(values)} queries, mean {values.mean():.2f}",
    )
