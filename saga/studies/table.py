"""A study's summary as text."""

from collections.abc import Iterator
from typing import Any

from saga.studies.targets import told


def table(summary: dict[str, Any]) -> str:
    """The verdict, then means and every seed of each arm, and the differences."""
    return "\n".join(_lines(summary))


def _lines(summary: dict[str, Any]) -> Iterator[str]:
    yield f"{summary['study_id']}: {summary['verdict']}"
    yield from (f"  {target['words']}" for target in summary["targets"])
    for name, regime in summary["regimes"].items():
        if not regime["arms"]:
            continue
        yield ""
        yield from _regime(name, regime, summary["seeds"])
    yield ""
    yield (
        "Differences of R@1 in points, paired by query; 95 % intervals: over classes, which takes "
        "the trained encoders for given, and over seeds, which does not."
    )
    if len(summary["code"]) > 1:
        yield f"The cells were made by {len(summary['code'])} versions of the code."


def _regime(name: str, regime: dict[str, Any], seeds: int) -> Iterator[str]:
    wide = max([len(arm) for arm in (*regime["arms"], *regime["differences"])] + [len(name)]) + 2
    yield (
        f"{name:<{wide}}{'R@1':>7}{'R@4':>7}{'MAP@R':>7}{'NMI':>7}{'steps':>7}{'train s':>9}"
        f"   R@1 of each of {seeds} seeds"
    )
    for arm, found in regime["arms"].items():
        figures = "".join(
            percent(found[metric], 7)
            for metric in ("recall_at_1", "recall_at_4", "map_at_r", "nmi")
        )
        steps, seconds = found["training"]["steps"], found["train_seconds"]
        made = f"{_whole(steps, 7)}{_whole(seconds, 9)}"
        each = " ".join(percent(value, 5) for value in found["per_seed"])
        yield f"{arm:<{wide}}{figures}{made}   {each}"
        for seed, reason in enumerate(found["training_per_seed"]["stopped_early"]):
            if reason:
                yield f"  seed {seed} stopped early: {reason}"
    for pair, found in regime["differences"].items():
        each = " ".join("    –" if v is None else f"{100 * v:+5.1f}" for v in found["per_seed"])
        yield f"{pair:<{wide}}{told(found)}   {each}"


def percent(value: float | None, width: int) -> str:
    """A rate in per cent, right-aligned; a dash for none."""
    return f"{'–':>{width}}" if value is None else f"{100 * value:{width}.1f}"


def _whole(value: float | None, width: int) -> str:
    return f"{'–':>{width}}" if value is None else f"{value:{width}.0f}"
