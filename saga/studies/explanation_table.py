"""An explanation as text."""

import statistics
from collections.abc import Iterator
from typing import Any

from saga.studies.table import percent

Facts = dict[str, Any]


def explanation_table(regimes: dict[str, Facts]) -> str:
    """Per cent of everything that `saga.studies.explanation.explain` found, means over the seeds."""
    return "\n".join(
        line for name, found in regimes.items() for line in _regime(name, found)
    ).strip()


def _regime(name: str, found: Facts) -> Iterator[str]:
    yield from ("", f"{name}: unseen classes, means of the seeds, %")
    yield (
        f"{'tower':<14}{'reward':>8}{'true':>7}{'no haze: reward':>17}{'true':>7}{'alike':>7}"
        f"{'haze':>7}{'moved':>7}"
    )
    for arm, seeds in found["encoders"].items():
        without = [seed.get("without_haze", {}) for seed in seeds]
        yield (
            f"{arm:<14}{_mean(seeds, 'reward', 8)}{_mean(seeds, 'accuracy', 7)}"
            f"{_mean(without, 'reward', 17)}{_mean(without, 'accuracy', 7)}"
            f"{_mean(seeds, 'agreement', 7)}{_mean(seeds, 'haze_share', 7)}"
            f"{_mean(seeds, 'token_change', 7)}"
        )
    yield (
        "true: described values that are the true ones; alike: values said of an image as of the same "
        "without haze; haze: squared distance in the tokens that haze makes, of that between two "
        "images; moved: squared change of the tokens by training, of their variance"
    )
    yield from _by_attribute(found["encoders"])
    if found["cosines"]:
        yield from ("", f"{'pairs':<14}" + "".join(f"{n:>14}" for n in _names(found["cosines"])))
        for size, cosines in found["cosines"].items():
            means = [cosines["mean"].get(name) for name in _names(found["cosines"])]
            yield f"{size:<14}" + "".join(f"{'–' if m is None else f'{m:+.3f}':>14}" for m in means)
        yield "cosines of the terms' gradients in the untrained tower's weights"
    for arm, rows in found["along"].items():
        yield ""
        steps = [row["step"] for row in rows]
        yield f"{arm + ' at step':<28}" + "".join(f"{step:>7}" for step in steps)
        for label, key in (("reward, unseen classes", "reward"), ("true values", "accuracy")):
            yield f"{label:<28}" + "".join(percent(row["unseen"][key], 7) for row in rows)
        for label, key in (
            ("reward, training pairs", "rollout/reward"),
            ("true values", "accuracy/all"),
        ):
            yield f"{label:<28}" + "".join(percent(row["training"].get(key), 7) for row in rows)


def _by_attribute(encoders: dict[str, list[Facts]]) -> Iterator[str]:
    """True values and moved tokens of each attribute."""
    names = list(next(iter(encoders.values()))[0]["accuracy_by_attribute"])
    for title, key in (
        ("true values", "accuracy_by_attribute"),
        ("moved where it is looked for", "token_change_by_attribute"),
    ):
        yield ""
        yield f"{title:<30}" + "".join(f"{name:>15}" for name in names)
        for arm, seeds in encoders.items():
            tables = [seed[key] for seed in seeds]
            yield f"{arm:<30}" + "".join(_mean(tables, name, 15) for name in names)


def _names(cosines: Facts) -> list[str]:
    return list(dict.fromkeys(name for found in cosines.values() for name in found["mean"]))


def _mean(tables: list[Facts], key: str, width: int) -> str:
    values = [table[key] for table in tables if table.get(key) is not None]
    return percent(statistics.fmean(values) if values else None, width)
