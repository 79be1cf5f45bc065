"""report.html of a study, from its summary.json alone."""

from collections.abc import Iterator, Mapping
from typing import Any

from saga.reports.bars import interval_bar
from saga.reports.charts import COLORS, panels, plain, png_of
from saga.reports.comparison import METRICS, told
from saga.reports.page import duration, percent, points, render

Facts = Mapping[str, Any]
SHOWN = ("recall_at_1", "recall_at_4", "map_at_r", "nmi")
ROW_INCHES = 0.3
"""Height of an arm in a figure."""
MARGIN_INCHES = 0.9
"""Title, axis and its label."""


def study_report(summary: Facts) -> str:
    """HTML of a study.

    Args:
        summary: what `saga.studies.summary.summarise` says, with the command that repeats it.
    """
    return render(
        "study.html.jinja",
        title=summary["study_id"],
        verdict=_verdict(summary),
        targets=[(_word(target["met"]), target["words"]) for target in summary["targets"]],
        failed=summary["failed"],
        regimes=[
            _regime(name, found) for name, found in summary["regimes"].items() if found["arms"]
        ],
        metrics={name: METRICS[name] for name in SHOWN},
        seeds=summary["seeds"],
        facts=_facts(summary),
        versions=len(summary["code"]),
        dirty=summary["git_dirty"],
        command=summary.get("command"),
        cell_command=summary.get("cell_command"),
    )


def arms_chart(name: str, arms: Facts) -> bytes:
    """PNG: the mean R@1 of each arm, and a dot for each seed.

    Args:
        name: of the regime.
        arms: by name, as the summary has them; those without figures are left out.
    """
    shown = {arm: found for arm, found in arms.items() if found["recall_at_1"] is not None}
    title = f"{name}: R@1, %"
    figure, (axis,) = panels([title], 1, _height(len(shown)))
    for place, found in enumerate(shown.values()):
        seeds = [100 * value for value in found["per_seed"] if value is not None]
        axis.barh(place, 100 * found["recall_at_1"], height=0.62, color=COLORS[0], alpha=0.35)
        axis.plot(seeds, [place] * len(seeds), "o", color=COLORS[0], markersize=4)
    _label(axis, list(shown))
    axis.set_xlim(left=0)
    return png_of(figure)


def differences_chart(name: str, differences: Facts) -> bytes:
    """PNG: each difference with its interval over classes, and a dot for each seed.

    Args:
        name: of the regime.
        differences: by name, as the summary has them.
    """
    title = f"{name}: difference of R@1, points"
    figure, (axis,) = panels([title], 1, _height(len(differences)))
    for place, found in enumerate(differences.values()):
        seeds = [100 * value for value in found["per_seed"] if value is not None]
        low, mean, high = (100 * found[key] for key in ("low", "mean", "high"))
        axis.plot(seeds, [place] * len(seeds), "o", color=COLORS[5], markersize=4, alpha=0.5)
        axis.plot([low, high], [place, place], "-", color=COLORS[0], linewidth=2)
        axis.plot([mean], [place], "D", color=COLORS[0], markersize=6)
    axis.axvline(0, color="black", linewidth=1, linestyle="--")
    _label(axis, [pair.replace("-", " − ") for pair in differences])
    return png_of(figure)


def _height(rows: int) -> float:
    return MARGIN_INCHES + ROW_INCHES * max(1, rows)


def _label(axis: Any, names: list[str]) -> None:
    """Names of the rows, the first at the top."""
    axis.set_yticks(range(len(names)), [plain(name) for name in names])
    axis.set_ylim(len(names) - 0.4, -0.6)


def _verdict(summary: Facts) -> tuple[str, str]:
    """A word and a sentence; floors decide the word, aims do not."""
    floors = [target["met"] for target in summary["targets"] if target["kind"] == "floor"]
    if not summary["complete"]:
        done = f"{summary['cells_done']} of {summary['cells']} cells are there."
        return ("FAILED" if summary["failed"] else "UNJUDGED"), f"{done} {summary['verdict']}"
    if not floors:
        return "UNJUDGED", summary["verdict"]
    return ("PASS" if all(floors) else "FAIL"), summary["verdict"]


def _word(met: bool | None) -> str:
    return "INCONCLUSIVE" if met is None else "PASS" if met else "FAIL"


def _regime(name: str, found: Facts) -> dict[str, Any]:
    arms, differences = found["arms"], found["differences"]
    pictures = {}
    if any(arm["recall_at_1"] is not None for arm in arms.values()):
        pictures["arms"] = (
            "R@1 on unseen classes: means of the seeds, and a dot for every seed.",
            arms_chart(name, arms),
        )
    if differences:
        caption = (
            "Differences with their intervals over classes, and a dot for every seed. Right of 0 the "
            "first arm is better."
        )
        pictures["differences"] = (caption, differences_chart(name, differences))
    return {
        "name": name,
        "arms": [_arm(arm, facts) for arm, facts in arms.items()],
        "differences": list(_differences(differences)),
        "pictures": pictures,
    }


def _arm(name: str, facts: Facts) -> dict[str, Any]:
    """A row: means with every seed's figure below, and how the arm was made."""
    training = facts["training"]
    each = facts["per_seed_metrics"]

    def moved(what: str) -> str:
        """How a figure of the rollouts changed in training."""
        ends = [training[f"{what}_{end}"] for end in ("first", "last")]
        return "–" if ends[0] is None else " → ".join(percent(value) for value in ends)

    return {
        "name": name,
        "cells": [
            (percent(facts[metric]), " ".join(percent(value) for value in each[metric]))
            for metric in SHOWN
        ],
        "steps": "–" if training["steps"] is None else f"{training['steps']:g}",
        "seconds": duration(facts["train_seconds"]),
        "settings": _settings(facts),
        "tried": "–" if facts["settings_tried"] is None else str(facts["settings_tried"]),
        "reward": moved("reward"),
        "accuracy": moved("accuracy"),
        "contributing": percent(training["contributing_share"]),
        "stopped": [text for text in facts["training_per_seed"]["stopped_early"] if text],
    }


def _settings(facts: Facts) -> list[str]:
    """The chosen settings, shortened to their last names, and whose they are; a line each."""
    chosen = facts["settings"]
    if not chosen:
        return ["–"]
    lines = [f"{name.rsplit('.', 1)[-1]} {value:g}" for name, value in chosen.items()]
    return [*lines, f"(of {facts['settings_from']})"] if facts["settings_from"] else lines


def _differences(differences: Facts) -> Iterator[dict[str, Any]]:
    """Rows whose bars share a scale."""
    ends = [found[key] for found in differences.values() for key in ("low", "high")]
    span = min([0.0, *ends]), max([0.0, *ends])
    for name, found in differences.items():
        low, high = found["low"], found["high"]
        text = f"{points(found['mean'])} ({points(low)} to {points(high)})"
        over_seeds = [found["seed_low"], found["seed_high"]]
        yield {
            "name": name.replace("-", " − "),
            "text": text,
            "says": told(low, high),
            "bar": interval_bar(found["mean"], low, high, 0.0, span),
            "seeds": " to ".join(map(points, over_seeds)) if over_seeds[0] is not None else "–",
            "per_seed": " ".join(map(points, found["per_seed"])),
        }


def _facts(summary: Facts) -> list[tuple[str, str]]:
    environment, tuning = summary["environment"], summary["tuning"]
    data, chosen_on = summary["data_seed"], "not tuned: every arm has the base's settings"
    if tuning is not None:
        chosen_on = (
            f"validation classes of data seed {tuning['data_seed']}, {tuning['seeds']} each, "
            f"{tuning['steps']} steps, the highest {METRICS[tuning['metric']]}"
        )
    versions = ", ".join(f"{k} {v}" for k, v in (environment.get("versions") or {}).items())
    return [
        ("date", summary["date"]),
        ("commit of the cells", ", ".join(summary["commits"]) or "–"),
        ("commit of this table", str(environment.get("git_commit"))),
        ("data seed", f"{data}: seed i draws its data with {data} · 1000 + i"),
        ("settings chosen on", chosen_on),
        ("all cells together took", duration(summary["cell_seconds"])),
        ("configuration", summary["config_digest"]),
        ("python", str(environment.get("python"))),
        ("versions", versions),
    ]
