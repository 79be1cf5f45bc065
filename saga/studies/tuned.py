"""The settings that were chosen for each arm, as a file beside the study's configuration."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from saga.errors import UserInputError
from saga.files import write_text
from saga.settings.strict_yaml import read_mapping
from saga.settings.typed import Problems, build
from saga.studies.configuration import StudyConfig

HEAD = """\
# Chosen by `saga study CONFIG --tune`, on validation classes of data that no study reports.
# All settings that were tried, with their figures, stand in the JSON file beside this one.
"""


@dataclass(frozen=True, slots=True)
class Tuned:
    """What was chosen, and how."""

    data_seed: int
    """tuning.data_seed of the data that it was chosen on."""
    seeds: int
    """Data seeds per setting."""
    steps: int
    """Steps of each training."""
    metric: str
    """What was compared, on the validation classes."""
    settings: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    """By regime and arm: the best setting, by dotted name."""
    tried: dict[str, dict[str, int]] = field(default_factory=dict)
    """By regime and arm: how many settings were compared."""

    def of(self, study: StudyConfig, regime: str, arm: str) -> dict[str, Any] | None:
        """The choice for an arm, its own or that of the arm and regime it takes from."""
        regime, arm = source(study, regime, arm)
        return self.settings.get(regime, {}).get(arm)

    def count(self, study: StudyConfig, regime: str, arm: str) -> int | None:
        """How many settings were compared for that choice."""
        regime, arm = source(study, regime, arm)
        return self.tried.get(regime, {}).get(arm)

    def save(self, path: Path) -> None:
        """Write the file."""
        write_text(path, HEAD + yaml.safe_dump(asdict(self), sort_keys=False))


def source(study: StudyConfig, regime: str, arm: str) -> tuple[str, str]:
    """Regime and arm whose search an arm's settings come from."""
    tuning = study.tuning
    return tuning.regime_like.get(regime, regime), tuning.like.get(arm, arm)


def load_tuned(path: Path) -> Tuned:
    """Read a file that `Tuned.save` wrote.

    Raises:
        UserInputError: if it is missing or of another form.
    """
    if not path.exists():
        raise UserInputError(
            f"tuned: there is no file {path}. Write it with `saga study CONFIG --tune`, or take the "
            "base's settings for every arm with --set tuned=null."
        )
    problems = Problems(str(path), Tuned)
    tuned = build(Tuned, read_mapping(path), problems)
    problems.raise_all()
    assert tuned is not None, "settings without problems can be built"
    return tuned


def check_tuned(tuned: Tuned, study: StudyConfig, path: Path) -> None:
    """Refuse choices that were made on the study's own data, or that are missing.

    Raises:
        UserInputError: saying which.
    """
    if tuned.data_seed == study.data.seed:
        raise UserInputError(
            f"{path} was chosen on data.seed {tuned.data_seed}, which the study would judge it on. "
            "Give the study another data.seed."
        )
    missing = [
        f"{arm} in {regime}"
        for regime, arms in study.plan.items()
        for arm in arms
        if study.arms[arm].of == "train" and tuned.of(study, regime, arm) is None
    ]
    if missing:
        raise UserInputError(
            f"{path} has no settings for {', '.join(missing)}. Run `saga study CONFIG --tune`, which "
            "keeps what it has, or let them take another arm's with tuning.like."
        )
