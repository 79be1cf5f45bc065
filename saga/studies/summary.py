"""summary.json of a study: figures of every arm, differences, targets, and what they came from."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from saga.files import digest_of
from saga.retrieval.report import RetrievalReport
from saga.settings.typed import plain_values
from saga.studies.cells import Cell
from saga.studies.configuration import StudyConfig
from saga.studies.runner import Failure
from saga.studies.statistics import Reports, seed_difference
from saga.studies.store import CellStore
from saga.studies.targets import judged, verdict
from saga.studies.tuned import Tuned, source

METRICS = ("recall_at_1", "recall_at_2", "recall_at_4", "recall_at_8", "map_at_r", "nmi")
TRAINING = (
    "reward_first",
    "reward_last",
    "accuracy_first",
    "accuracy_last",
    "contributing_share",
    "parsed_share",
)
DML, SAGA = "dml", "saga"


def study_digest(study: StudyConfig, tuned: Tuned | None) -> str:
    """Of all settings but how many cells run at once."""
    values = plain_values(study)
    del values["jobs"]
    return digest_of({"study": values, "tuned": None if tuned is None else plain_values(tuned)})


def study_id(study: StudyConfig, tuned: Tuned | None) -> str:
    """Name and a short digest: the same command finds the same folder again."""
    return f"{study.name}-{study_digest(study, tuned)[:8]}"


def summarise(
    study: StudyConfig,
    tuned: Tuned | None,
    cells: list[Cell],
    store: CellStore,
    failures: list[Failure],
    environment: dict[str, Any],
) -> dict[str, Any]:
    """The summary, from the cells that are whole."""
    whole = [cell for cell in cells if store.has(cell)]
    facts = {cell.name: store.facts(cell) for cell in whole}
    regimes = {
        regime: _regime(
            study, tuned, regime, [c for c in whole if c.regime == regime], facts, store
        )
        for regime in study.plan
    }
    targets = [
        judged(target, regimes[target.regime]["differences"].get(target.difference), study.seeds)
        for target in study.targets
    ]
    codes = sorted({found["code"] for found in facts.values()})
    done = [s for s in range(study.seeds) if all(c in whole for c in cells if c.seed == s)]
    return {
        "study_id": study_id(study, tuned),
        "name": study.name,
        "state": "complete" if len(whole) == len(cells) else "incomplete",
        "complete": len(whole) == len(cells),
        "cells": len(cells),
        "cells_done": len(whole),
        "seeds_done": done,
        "verdict": verdict(targets),
        "targets": targets,
        "regimes": regimes,
        "seeds": study.seeds,
        "data_seed": study.data.seed,
        "tuning": _tuning(tuned),
        "failed": [_failure(failure) for failure in failures],
        "config_digest": study_digest(study, tuned),
        "config": plain_values(study),
        "code": codes,
        "commits": sorted({str(found.get("git_commit")) for found in facts.values()}),
        "git_dirty": any(found.get("git_dirty") for found in facts.values()),
        "cell_seconds": round(sum(found["seconds"] for found in facts.values()), 1),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "environment": environment,
    }


def differences_of(study: StudyConfig, regime: str) -> list[str]:
    """Names of the differences that a regime reports, arm-arm."""
    arms = study.plan[regime]
    trained = [arm for arm in arms if study.arms[arm].of == "train"]
    wanted = [*_usual(arms, trained), *study.differences]
    wanted += [t.difference for t in study.targets if t.regime == regime]
    present = [name for name in wanted if all(arm in arms for arm in name.split("-"))]
    return list(dict.fromkeys(present))


def _usual(arms: tuple[str, ...], trained: list[str]) -> Iterator[str]:
    """SAGA against every trained arm, every arm against DML, and SAGA's variants against DML's."""
    yield from (f"{SAGA}-{arm}" for arm in trained if arm != SAGA)
    yield from (f"{arm}-{DML}" for arm in arms if arm != DML)
    for arm in trained:
        if arm.startswith(f"{SAGA}_"):
            yield f"{arm}-{DML}_{arm.removeprefix(f'{SAGA}_')}"


def _regime(
    study: StudyConfig,
    tuned: Tuned | None,
    regime: str,
    cells: list[Cell],
    facts: dict[str, Any],
    store: CellStore,
) -> dict[str, Any]:
    reports: dict[str, dict[int, RetrievalReport]] = {arm: {} for arm in study.plan[regime]}
    for cell in cells:
        reports[cell.arm][cell.seed] = store.report(cell)
    arms = {
        arm: _arm(study, tuned, regime, arm, [c for c in cells if c.arm == arm], facts)
        for arm in study.plan[regime]
    }
    differences = {}
    for name in differences_of(study, regime):
        first, second = name.split("-")
        found = _difference(reports[first], reports[second], study.seeds)
        if found is not None:
            differences[name] = found
    return {"arms": arms, "differences": differences}


def _difference(first: Reports, second: Reports, seeds: int) -> dict[str, Any] | None:
    found = seed_difference(first, second, seeds)
    return None if found is None else asdict(found)


def _arm(
    study: StudyConfig,
    tuned: Tuned | None,
    regime: str,
    arm: str,
    cells: list[Cell],
    facts: dict[str, Any],
) -> dict[str, Any]:
    """Means over the seeds that are there, every seed's figures, and how the arm was made."""
    by_seed = {cell.seed: facts[cell.name] for cell in cells}
    seeds = range(study.seeds)

    def values(section: str, name: str) -> list[float | None]:
        return [((by_seed.get(seed) or {}).get(section) or {}).get(name) for seed in seeds]

    per_seed = {name: values("metrics", name) for name in METRICS}
    training = {name: values("training", name) for name in TRAINING}
    training |= {"steps": values("training", "steps")}
    stopped = values("training", "stopped_early")
    trained = study.arms[arm].of == "train"
    return {name: _mean(per_seed[name]) for name in METRICS} | {
        "per_seed": per_seed["recall_at_1"],
        "per_seed_metrics": per_seed,
        "of": study.arms[arm].of,
        "training": {name: _mean(found) for name, found in training.items()},
        "training_per_seed": training | {"stopped_early": stopped},
        "train_seconds": _mean(values("training", "seconds")),
        "seconds": [by_seed[seed]["seconds"] if seed in by_seed else None for seed in seeds],
        "rates": _rates(cells[0]) if cells and trained else None,
        "settings": tuned.of(study, regime, arm) if tuned and trained else None,
        "settings_tried": tuned.count(study, regime, arm) if tuned and trained else None,
        "settings_from": _source(study, regime, arm) if tuned and trained else None,
    }


def _rates(cell: Cell) -> dict[str, float | None]:
    """Learning rates of an arm; None for the encoder's where it is frozen."""
    optimizer, frozen = cell.config.training.optimizer, cell.config.encoder.tuning == "frozen"
    return {
        "encoder_lr": None if frozen else optimizer.encoder_lr,
        "pooler_lr": optimizer.pooler_lr,
    }


def _source(study: StudyConfig, regime: str, arm: str) -> str | None:
    """Where an arm's settings were searched, if not by itself."""
    found = source(study, regime, arm)
    return None if found == (regime, arm) else f"{found[1]} in {found[0]}"


def _mean(values: list[Any]) -> float | None:
    present = [float(value) for value in values if value is not None]
    return statistics.fmean(present) if present else None


def _tuning(tuned: Tuned | None) -> dict[str, Any] | None:
    if tuned is None:
        return None
    return {name: getattr(tuned, name) for name in ("data_seed", "seeds", "steps", "metric")}


def _failure(failure: Failure) -> dict[str, Any]:
    return {
        "cell": failure.cell.name,
        "exit_code": failure.code,
        "log": str(failure.log),
        "reason": failure.reason,
    }
