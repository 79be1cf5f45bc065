"""What the charts share: a figure of small panels, drawn without a display."""

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#a06a00", "#444b53")
"""After Okabe and Ito: told apart by colour-blind readers."""
METHOD_COLORS = ("#6e7781", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#a06a00")
MARKS = ("o", "s", "^", "D", "v", "P")
WIDTH = 9.4
"""Of a figure, in inches."""
DPI = 110
LONGEST_NAME = 40


def panels(
    titles: list[str], columns: int = 2, height: float = 2.9, shared: bool = False
) -> "tuple[Figure, list[Axes]]":
    """A figure with an empty panel for each title.

    Args:
        titles: of the panels.
        columns: panels side by side.
        height: of a row, in inches.
        shared: whether all have the same axes.
    """
    from matplotlib.figure import Figure

    rows = -(-len(titles) // columns)
    figure = Figure(figsize=(WIDTH, height * rows), layout="constrained", dpi=DPI)
    grid: Any = figure.subplots(rows, columns, squeeze=False, sharex=shared, sharey=shared)
    axes = grid.ravel().tolist()
    for axis, title in zip(axes, titles):
        axis.set_title(plain(title), fontsize=10, loc="left")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    for axis in axes[len(titles) :]:
        axis.set_visible(False)
    return figure, axes[: len(titles)]


def legend_below(axis: "Axes", columns: int = 4, room: float = 0.17) -> None:
    """The legend below the panel, where it hides nothing.

    Args:
        axis: the panel.
        columns: names side by side.
        room: for the labels above it, as a share of the panel's height.
    """
    axis.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -room),
        ncols=columns,
        fontsize=8,
        frameon=False,
        handlelength=1.6,
        columnspacing=1.2,
    )


def plain(text: str) -> str:
    """A name as a label: one line of bounded length, no formula, shown by legends."""
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    short = line if len(line) <= LONGEST_NAME else line[: LONGEST_NAME - 1] + "…"
    return short.replace("$", r"\$").lstrip("_") or "–"


def png_of(figure: "Figure") -> bytes:
    """The figure as a PNG file; equal figures give equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
