"""Settings of a study: which arms in which regimes, over how many seeds, tuned how, aiming at what.

The base sections are those of a run. An arm or a regime is a list of changes of that base, by dotted
name; `saga.studies.cells` puts them together.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from saga.data.configuration import DatasetConfig
from saga.encoders.configuration import EncoderConfig
from saga.mining.configuration import MiningConfig
from saga.retrieval.configuration import RetrievalConfig
from saga.settings.checks import SEEDS
from saga.supervisors.configuration import SupervisorConfig
from saga.training.configuration import TrainingConfig

Kind = Literal["train", "pretrained", "untrained_pooler"]
SEEDS_PER_DATA_SEED = 1000
"""Seed i of a study draws its data with data.seed · 1000 + i, so studies never share data."""
DATA_SEEDS = SEEDS // SEEDS_PER_DATA_SEED
NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")


@dataclass(frozen=True, slots=True)
class ArmSpec:
    """One way to get an encoder."""

    of: Kind = "train"
    """train; pretrained: the tower as it comes, mean-pooled; untrained_pooler: the tower as it comes
    with the arm's pooler at its initial weights."""
    set: dict[str, Any] = field(default_factory=dict)
    """Changes of the base, by dotted name: {training.weights.kl: 0}."""


@dataclass(frozen=True, slots=True)
class DataConfig:
    """Which data are drawn."""

    seed: int = 0
    """Seed i of the study draws its data with seed · 1000 + i; another number gives fresh data."""

    def __post_init__(self) -> None:
        check_data_seed("seed", self.seed)


@dataclass(frozen=True, slots=True)
class TuningConfig:
    """How learning rates are chosen: the same grid for every arm, on validation classes only."""

    data_seed: int = 900
    """As data.seed, for the data that settings are chosen on; must be another."""
    seeds: int = 1
    """Data seeds per setting."""
    steps: int | None = None
    """Steps of a training; None takes the study's."""
    metric: Literal["recall_at_1", "map_at_r", "nmi"] = "recall_at_1"
    """What is best: the highest mean over the tuning seeds, the first of the grid where equal."""
    space: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """Values to try of each setting, by dotted name; every combination is tried, but for settings that
    the arm itself gives."""
    like: dict[str, str] = field(default_factory=dict)
    """Arms that take another arm's choice instead of a search of their own; the report says so."""
    regime_like: dict[str, str] = field(default_factory=dict)
    """Regimes that take another regime's choices."""

    def __post_init__(self) -> None:
        check_data_seed("data_seed", self.data_seed)
        if not 1 <= self.seeds < SEEDS_PER_DATA_SEED:
            raise ValueError(f"seeds must be in [1, {SEEDS_PER_DATA_SEED}), got {self.seeds}")
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")
        for name, values in self.space.items():
            if not values:
                raise ValueError(f"space: {name} has no values to try")
        for name, mapping in (("like", self.like), ("regime_like", self.regime_like)):
            for one, other in mapping.items():
                if other in mapping:
                    raise ValueError(f"{name}: {one} takes from {other}, which takes from another")


@dataclass(frozen=True, slots=True)
class Target:
    """What a difference of R@1 should come to."""

    regime: str
    """Where."""
    difference: str
    """arm-arm."""
    at_least: float | None = None
    """Least mean, as a fraction (0.05 is five points); None asks nothing of it."""
    interval: Literal["above_zero", "not_below_zero", "any"] = "any"
    """What is asked of the class-clustered 95 % interval: its lower end above 0, or its upper end
    not below 0 (the first arm is not shown to be worse)."""
    kind: Literal["floor", "aim"] = "floor"
    """A floor has to be met; an aim is hoped for."""


@dataclass(frozen=True, slots=True)
class StudyConfig:
    """Everything that decides a study's figures."""

    name: str
    """In its folder and its report."""
    training: TrainingConfig
    """The base of every arm's training."""
    plan: dict[str, tuple[str, ...]]
    """Arms of each regime, in the order of the report."""
    arms: dict[str, ArmSpec]
    """What the arms are."""
    regimes: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Changes of the base for a regime, by dotted name. A regime that is not named here is the
    generator's own of that name."""
    seeds: int = 5
    """How often every cell is repeated, each time with data, pairs, pooler and order of its own."""
    jobs: int = 2
    """Cells that run at once, one thread each."""
    data: DataConfig = field(default_factory=DataConfig)
    """Which data are drawn."""
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    """Images, labels, splits."""
    supervisor: SupervisorConfig = field(default_factory=SupervisorConfig)
    """The frozen multimodal LLM and how it is asked."""
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """Pooler and what of the tower is trained."""
    mining: MiningConfig = field(default_factory=MiningConfig)
    """Which pairs the supervisor compares."""
    evaluation: RetrievalConfig = field(default_factory=RetrievalConfig)
    """Search and metrics."""
    tuning: TuningConfig = field(default_factory=TuningConfig)
    """How learning rates are chosen."""
    tuned: str | None = None
    """File of the chosen rates that `saga study CONFIG --tune` writes, relative to the configuration;
    null takes the base's for every arm."""
    differences: tuple[str, ...] = ()
    """Further differences to report, arm-arm."""
    targets: tuple[Target, ...] = ()
    """What the study is to show; the report begins with which of them are met."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}", self.name):
            raise ValueError(
                "name must be 1 to 60 letters, digits, '.', '_' or '-', and begin with a letter or "
                f"digit; got {self.name!r}"
            )
        if not 1 <= self.seeds < SEEDS_PER_DATA_SEED:
            raise ValueError(f"seeds must be in [1, {SEEDS_PER_DATA_SEED}), got {self.seeds}")
        if self.jobs < 1:
            raise ValueError(f"jobs must be at least 1, got {self.jobs}")
        if self.data.seed == self.tuning.data_seed:
            raise ValueError(
                f"data.seed is {self.data.seed}, as tuning.data_seed: settings would be judged on "
                "the data that they were chosen on. Give another seed"
            )
        self._check_plan()
        self._check_likes()
        for name in (*self.differences, *(t.difference for t in self.targets)):
            self._check_difference(name)
        for target in self.targets:
            if target.regime not in self.plan:
                raise ValueError(
                    f"targets: the regime {target.regime} is not in plan ({', '.join(self.plan)})"
                )

    def _check_plan(self) -> None:
        if not any(self.plan.values()):
            raise ValueError("plan: there is no arm in any regime")
        for kind, names in (("plan", self.plan), ("arms", self.arms)):
            for name in names:
                if not NAME.fullmatch(name):
                    raise ValueError(
                        f"{kind}: names are lower-case letters, digits and '_', got {name!r}"
                    )
        for regime, arms in self.plan.items():
            if len(set(arms)) != len(arms):
                raise ValueError(f"plan.{regime} names an arm twice: {', '.join(arms)}")
            for arm in arms:
                self._check_arm(f"plan.{regime}", arm)

    def _check_likes(self) -> None:
        for arm, other in self.tuning.like.items():
            self._check_arm("tuning.like", arm)
            self._check_arm("tuning.like", other)

    def _check_difference(self, name: str) -> None:
        first, _, second = name.partition("-")
        for arm in (first, second):
            self._check_arm(f"difference {name}", arm)

    def _check_arm(self, where: str, arm: str) -> None:
        if arm not in self.arms:
            raise ValueError(f"{where}: there is no arm {arm!r} among {', '.join(self.arms)}")


def check_data_seed(name: str, seed: int) -> None:
    """Refuse a data seed whose derived seeds some generator would not take.

    Raises:
        ValueError: naming the setting and what it may be.
    """
    if not 0 <= seed < DATA_SEEDS:
        raise ValueError(f"{name} must be in [0, {DATA_SEEDS}), got {seed}")
