"""Cells: one arm in one regime with one seed, as everything that decides its figures."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from saga.data.configuration import DatasetConfig
from saga.data.synthetic.dataset import GENERATOR_VERSION
from saga.encoders.configuration import EncoderConfig
from saga.errors import UserInputError
from saga.files import digest_of
from saga.mining.configuration import MiningConfig
from saga.retrieval.configuration import RetrievalConfig
from saga.settings.merging import with_dotted
from saga.settings.typed import Problems, build, plain_values
from saga.studies.configuration import SEEDS_PER_DATA_SEED, Kind, StudyConfig
from saga.studies.tuned import Tuned
from saga.supervisors.configuration import SupervisorConfig
from saga.supervisors.prompts import load_prompt
from saga.training.arm import ArmConfig, check_arm
from saga.training.configuration import TrainingConfig

Settings = Mapping[str, Any]
SECTIONS = ("dataset", "supervisor", "encoder", "mining", "training", "evaluation")


@dataclass(frozen=True, slots=True)
class CellConfig:
    """All settings of one cell."""

    training: TrainingConfig
    of: Kind = "train"
    split: Literal["test", "validation"] = "test"
    """Whose images are judged; a cell of the tuner never sees the test rows."""
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    supervisor: SupervisorConfig = field(default_factory=SupervisorConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    mining: MiningConfig = field(default_factory=MiningConfig)
    evaluation: RetrievalConfig = field(default_factory=RetrievalConfig)


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell."""

    regime: str
    arm: str
    seed: int
    config: CellConfig
    trial: int | None = None
    """Number of the setting that is tried; None outside of the tuner."""

    @property
    def name(self) -> str:
        """regime/arm/seed, as --cell takes it; with the number of the setting in the tuner."""
        name = f"{self.regime}/{self.arm}/{self.seed}"
        return name if self.trial is None else f"{name}/setting {self.trial}"

    @property
    def key(self) -> str:
        """Digest of all that decides the figures, but for the code."""
        values = plain_values(self.config)
        if self.config.of != "train":
            del values["training"], values["mining"]
        supervisor = self.config.supervisor
        return digest_of(
            {
                "cell": values,
                "supervisor_files": _supervisor_files(supervisor),
                "prompt": load_prompt(supervisor.prompt).digest,
                "generator": GENERATOR_VERSION if self.config.dataset.layout == "synthetic" else 0,
            }
        )

    @property
    def folder(self) -> str:
        """Name of its folder: for people, and the key."""
        kind = "" if self.trial is None else "tune-"
        return f"{kind}{self.regime}-{self.arm}-{self.seed}-{self.key[:12]}"

    @property
    def cost(self) -> float:
        """About how long it takes, in steps of metric learning alone: for the remaining time."""
        if self.config.of != "train":
            return 10.0
        weights = self.config.training.weights
        each = 1.0 + 2.0 * weights.judged + 1.5 * (weights.grpo > 0) + 0.5 * (weights.kl > 0)
        each += 1.5 * (weights.oracle > 0)
        return 20.0 + each * (self.config.training.steps or 100)


def study_cells(study: StudyConfig, tuned: Tuned | None, source: str = "study") -> list[Cell]:
    """All cells of a study, in the order in which they are made.

    Seed by seed, so that a study that is broken off has whole seeds; of a seed the longest first, so
    that no long one is left to run alone at the end.

    Args:
        study: the study.
        tuned: the settings chosen for each arm; None takes the base's.
        source: the configuration's file, for messages.

    Raises:
        UserInputError: with every wrong setting of an arm or a regime.
    """
    problems: dict[str, None] = {}
    cells = []
    for seed in range(study.seeds):
        for regime, arms in study.plan.items():
            for arm in arms:
                chosen = (tuned and tuned.of(study, regime, arm)) or {}
                seeds = seed_settings(study.data.seed, seed)
                try:
                    config = resolve(study, regime, arm, [chosen, seeds], source)
                except UserInputError as error:
                    problems[str(error)] = None
                    continue
                cells.append(Cell(regime, arm, seed, config))
    if problems:
        raise UserInputError("\n".join(problems))
    return sorted(cells, key=lambda cell: (cell.seed, -cell.cost))


def seed_settings(data_seed: int, seed: int) -> dict[str, Any]:
    """What seed number `seed` of a study sets: its data's seed, and that of every draw."""
    return {
        "dataset.synthetic.seed": data_seed * SEEDS_PER_DATA_SEED + seed,
        "mining.seed": seed,
        "training.seed": seed,
        "encoder.pooler.seed": seed,
    }


def resolve(
    study: StudyConfig, regime: str, arm: str, changes: Iterable[Settings], source: str = "study"
) -> CellConfig:
    """An arm's settings in a regime: base, regime, arm, then `changes`, the later above the earlier.

    Raises:
        UserInputError: naming each wrong setting, and the nearest right one.
    """
    spec = study.arms[arm]
    raw = {name: plain_values(getattr(study, name)) for name in SECTIONS}
    for change in (regime_settings(study, regime), spec.set, *changes):
        raw = with_dotted(raw, change)
    where = f"{source}, arm {arm} in {regime}"
    config = build_cell(raw | {"of": spec.of}, where)
    if config.of == "train":
        try:
            check_arm(arm_config(config, arm))
        except UserInputError as error:
            raise UserInputError(f"{where}: {error}") from error
    return config


def build_cell(raw: Settings, source: str) -> CellConfig:
    """A cell's settings from plain values.

    Raises:
        UserInputError: with every problem.
    """
    problems = Problems(source, CellConfig)
    config = build(CellConfig, raw, problems)
    problems.raise_all()
    assert config is not None, "settings without problems can be built"
    return config


def arm_config(config: CellConfig, name: str) -> ArmConfig:
    """The cell's arm, as the trainer takes it."""
    return ArmConfig(
        name, config.supervisor, config.encoder, config.training, config.dataset.limits
    )


def regime_settings(study: StudyConfig, regime: str) -> dict[str, Any]:
    """A regime's changes of the base: the study's own, else the generator's regime of that name.

    Raises:
        UserInputError: if there is none.
    """
    if regime in study.regimes:
        return study.regimes[regime]
    known = generator_regimes()
    if regime not in known:
        names = ", ".join(sorted({*known, *study.regimes}))
        raise UserInputError(f"plan: there is no regime {regime}. Known: {names or 'none'}.")
    return {f"dataset.synthetic.{name}": value for name, value in known[regime].items()}


def generator_regimes() -> dict[str, dict[str, Any]]:
    """The synthetic set's named regimes, as changes of its settings."""
    from saga.data.synthetic.regimes import REGIMES

    return {name: dict(regime.changes) for name, regime in REGIMES.items()}


def named(cells: Iterable[Cell], name: str) -> Cell:
    """The cell of this name.

    Raises:
        UserInputError: if there is none.
    """
    names = []
    for cell in cells:
        if cell.name == name:
            return cell
        names.append(cell.name)
    raise UserInputError(
        f"--cell {name}: there is no such cell. Write regime/arm/seed, for example {names[0]}."
    )


def by_arm(cells: Iterable[Cell]) -> Iterator[tuple[tuple[str, str], list[Cell]]]:
    """Cells of each regime and arm, in their order."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.regime, cell.arm), []).append(cell)
    yield from groups.items()


@cache
def _supervisor_files(config: SupervisorConfig) -> str:
    from saga.supervisors.source import supervisor_digest

    return supervisor_digest(config)
