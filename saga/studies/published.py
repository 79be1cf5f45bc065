"""Differences of a study that was run before, to stand beside those of one run."""

import json
from pathlib import Path
from typing import Any

from saga.errors import UserInputError

NUMBERS = ("mean", "low", "high")


def published(path: Path) -> dict[str, Any]:
    """What a run's report tells of a study.

    Args:
        path: the study's summary.json.

    Returns:
        study_id, regime (the study's first), seeds, date, and `differences` of R@1 by name, each with
        mean, low and high.

    Raises:
        UserInputError: if the file is no summary of a complete study.
    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        regime, found = next(iter(facts["regimes"].items()))
        differences = {
            str(name): {number: float(values[number]) for number in NUMBERS}
            for name, values in found["differences"].items()
        }
        told = {name: str(facts[name]) for name in ("study_id", "date")}
        told_all = told | {"regime": str(regime), "seeds": int(facts["seeds"])}
        complete = facts["complete"] is True
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
        raise UserInputError(
            f"{path} is no summary.json of a study ({error}). Give the one that saga study writes."
        ) from error
    if not complete:
        raise UserInputError(f"{path} is of a study that is not complete. Run it to its end.")
    return told_all | {"differences": differences}
