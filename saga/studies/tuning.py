"""Chooses each arm's settings: the same grid for every arm, judged on validation classes only.

The data are drawn with `tuning.data_seed`, which no study may use, and the rows of the test classes
are dropped before anything looks at them. An arm whose encoder is frozen has no use for
`training.optimizer.encoder_lr`, and what an arm itself gives is not searched; only the settings that
differ for it are tried, and counted.
"""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from saga.errors import UserInputError
from saga.settings.merging import with_dotted
from saga.settings.typed import plain_values
from saga.studies.cells import Cell, CellConfig, build_cell, resolve, seed_settings
from saga.studies.configuration import StudyConfig
from saga.studies.store import CellStore
from saga.studies.tuned import Tuned, source

ENCODER_LR = "training.optimizer.encoder_lr"


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting of one arm, over the tuning seeds."""

    regime: str
    arm: str
    setting: dict[str, float]
    """By dotted name."""
    cells: tuple[Cell, ...]


def trials(study: StudyConfig, source_file: str = "study") -> list[Trial]:
    """Everything that the tuner compares, each search once.

    Raises:
        UserInputError: if there is nothing to try or a setting is wrong.
    """
    if not study.tuning.space:
        raise UserInputError(
            f"{source_file}: tuning.space is empty. Give the values to try of some setting, for "
            f"example tuning: {{space: {{{ENCODER_LR}: [1e-4, 3e-4]}}}}."
        )
    return [
        _trial(study, regime, arm, number, setting, source_file)
        for regime, arm in searches(study)
        for number, setting in enumerate(_settings(study, regime, arm, source_file))
    ]


def searches(study: StudyConfig) -> list[tuple[str, str]]:
    """Regimes and arms that are searched; the others take theirs from these."""
    wanted = (
        source(study, regime, arm)
        for regime, arms in study.plan.items()
        for arm in arms
        if study.arms[arm].of == "train"
    )
    return list(dict.fromkeys(wanted))


def choose(
    study: StudyConfig, tried: list[Trial], store: CellStore
) -> tuple[Tuned, dict[str, Any]]:
    """The best setting of each search, and the log of all.

    Args:
        study: the study.
        tried: `trials(study)`, all of whose cells are whole.
        store: where they are.
    """
    tuning = study.tuning
    steps = tuning.steps or study.training.steps or 0
    tuned = Tuned(tuning.data_seed, tuning.seeds, steps, tuning.metric)
    made = [store.facts(cell) for trial in tried for cell in trial.cells]
    log: list[dict[str, Any]] = []
    for (regime, arm), group in itertools.groupby(tried, lambda trial: (trial.regime, trial.arm)):
        entries = [_entry(trial, tuning.metric, store) for trial in group]
        best = max(entries, key=lambda entry: entry["mean"])  # the first of equals
        best["chosen"] = True
        best["at_edge"] = _edges(study, best["setting"])
        tuned.settings.setdefault(regime, {})[arm] = best["setting"]
        tuned.tried.setdefault(regime, {})[arm] = len(entries)
        log += entries
    facts = {
        "study": study.name,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "tuning": plain_values(tuning),
        "split": "validation",
        "steps": steps,
        "commits": sorted({str(found.get("git_commit")) for found in made}),
        "settings": log,
    }
    return tuned, facts


def joined(old: Tuned, new: Tuned) -> Tuned:
    """New choices beside the old ones of other arms, where both were made the same way."""
    way = ("data_seed", "seeds", "steps", "metric")
    if any(getattr(old, name) != getattr(new, name) for name in way):
        return new
    return replace(
        new,
        settings={r: old.settings.get(r, {}) | new.settings.get(r, {}) for r in _keys(old, new)},
        tried={r: old.tried.get(r, {}) | new.tried.get(r, {}) for r in _keys(old, new)},
    )


def _keys(old: Tuned, new: Tuned) -> list[str]:
    return list(dict.fromkeys([*old.settings, *new.settings]))


def _settings(
    study: StudyConfig, regime: str, arm: str, source_file: str
) -> Iterator[dict[str, float]]:
    """The grid, without repeats for an arm to which a setting means nothing or that has its own."""
    frozen = resolve(study, regime, arm, [], source_file).encoder.tuning == "frozen"
    own = study.arms[arm].set
    names = [
        n for n in study.tuning.space if not (frozen and n == ENCODER_LR) and not _given(own, n)
    ]
    for values in itertools.product(*(study.tuning.space[name] for name in names)):
        yield dict(zip(names, values))


def _given(changes: dict[str, Any], dotted: str) -> bool:
    """Whether changes by dotted path, or by section, say what a setting is."""
    place: Any = with_dotted({}, changes)
    for name in dotted.split("."):
        if not isinstance(place, dict) or name not in place:
            return False
        place = place[name]
    return True


def _trial(
    study: StudyConfig,
    regime: str,
    arm: str,
    number: int,
    setting: dict[str, float],
    source_file: str,
) -> Trial:
    steps = {} if study.tuning.steps is None else {"training.steps": study.tuning.steps}
    cells = []
    for seed in range(study.tuning.seeds):
        seeds = seed_settings(study.tuning.data_seed, seed)
        config = resolve(study, regime, arm, [setting, steps, seeds], source_file)
        cells.append(Cell(regime, arm, seed, on_validation(config), trial=number))
    return Trial(regime, arm, setting, tuple(cells))


def on_validation(config: CellConfig) -> CellConfig:
    """The cell judged on validation classes, with as few test images drawn as the generator can.

    The generator draws the test classes last, so their number changes no other image.
    """
    raw: dict[str, Any] = plain_values(config) | {"split": "validation"}
    if config.dataset.layout == "synthetic" and config.dataset.root is None:
        raw = with_dotted(raw, {"dataset.synthetic.test_classes": 2})
    return build_cell(raw, "tuning")


def _entry(trial: Trial, metric: str, store: CellStore) -> dict[str, Any]:
    metrics = [store.facts(cell)["metrics"] for cell in trial.cells]
    values = [float(found[metric]) for found in metrics]
    return {
        "regime": trial.regime,
        "arm": trial.arm,
        "setting": trial.setting,
        "mean": sum(values) / len(values),
        "per_seed": values,
        "metrics": metrics,
        "data_seeds": [cell.config.dataset.synthetic.seed for cell in trial.cells],
        "chosen": False,
    }


def _edges(study: StudyConfig, setting: dict[str, float]) -> list[str]:
    """Settings whose best value is the first or last that was tried: better may lie beyond."""
    space = study.tuning.space
    return [
        n for n, v in setting.items() if len(space[n]) > 1 and v in (min(space[n]), max(space[n]))
    ]
