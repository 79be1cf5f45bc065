"""Efficiency over the number of GPUs, as a picture."""

from pathlib import Path
from typing import Any

STYLES = {"rolled out": ":", "turns": "--", "balanced": "-"}


def draw_curve(found: dict[str, Any], path: Path) -> None:
    """Both questions side by side.

    Args:
        found: what benchmarks.scaling came to.
        path: SVG file; the same figures give the same bytes.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "saga", "svg.fonttype": "none"}):
        figure = Figure(figsize=(9, 3.2), layout="constrained")
        weak, strong = figure.subplots(1, 2, sharey=True)
        for axis, question in ((weak, "weak"), (strong, "strong")):
            for dealing, rows in found[question].items():
                axis.plot(*_line(rows), STYLES[dealing], color="black", label=dealing)
            gpus, _ = _line(found[question]["balanced"])
            axis.set_xscale("log", base=2)
            axis.set_xticks(gpus, [str(n) for n in gpus])
            axis.set(xlabel="GPUs", ylim=(0, 1.1))
            axis.grid(alpha=0.3)
        weak.plot(*_line(found["weak_slower"]), color="grey", label="balanced, slower GPUs")
        weak.set_title("the step grows with the GPUs", fontsize=10)
        strong.set_title("one step, shared", fontsize=10)
        weak.set_ylabel("efficiency")
        weak.legend(fontsize=8)
        figure.savefig(path, format="svg", metadata={"Date": None})


def _line(rows: list[dict[str, float]]) -> tuple[list[float], list[float]]:
    """GPUs and efficiency."""
    return [row["gpus"] for row in rows], [row["efficiency"] for row in rows]
