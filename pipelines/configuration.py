"""One run's configuration: a YAML file, overrides, and the checks before anything starts.

The settings themselves are frozen dataclasses beside their owners in the library; this module puts
them together. Nothing here imports torch, so a wrong configuration is answered at once.

    run = load_run_config(Path("configs/embedded.yaml"), ["training.steps=10"])

docs/configuration.md lists every setting.
"""

import copy
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from pipelines.overrides import apply_override
from saga.data.configuration import DatasetConfig
from saga.encoders.configuration import EncoderConfig
from saga.errors import UserInputError
from saga.files import digest_of
from saga.mining.configuration import MiningConfig
from saga.retrieval.configuration import RetrievalConfig
from saga.settings.checks import SEEDS, check_seed
from saga.settings.merging import merged
from saga.settings.strict_yaml import read_mapping
from saga.settings.typed import Problems, build, convert_fields
from saga.supervisors.configuration import SupervisorConfig
from saga.training.arm import ArmConfig
from saga.training.configuration import TrainingConfig

T = TypeVar("T")
Ablation = Literal["kl", "grpo", "kl_only"]

CONFIGS = Path(__file__).parents[1] / "configs"
"""Configurations, prompts and gate policies that come with the project."""

DEFAULT_CONFIG = CONFIGS / "embedded.yaml"
SEEDED = (("mining",), ("training",), ("encoder", "pooler"))
"""Sections whose seed follows the run's where they do not name their own."""


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Everything that decides one run."""

    name: str
    """Name of the run, in its folder and in reports."""
    model: str
    """Name under which versions of the encoder are registered."""
    training: TrainingConfig
    """How the candidate is trained."""
    baseline: TrainingConfig
    """How the DML-only baseline is trained: `training` with weights.grpo and weights.kl at 0, and
    with whatever the file's own `baseline` section changes."""
    baseline_encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """The baseline's encoder: `encoder` with whatever the file's `baseline_encoder` changes."""
    seed: int = 0
    """Seed of mining, training and pooler, unless they name their own. The data keep theirs."""
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    """Images, labels, splits."""
    supervisor: SupervisorConfig = field(default_factory=SupervisorConfig)
    """The frozen multimodal LLM and how it is asked."""
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """Pooler and what of the tower is trained."""
    mining: MiningConfig = field(default_factory=MiningConfig)
    """Which pairs the supervisor compares."""
    evaluation: RetrievalConfig = field(default_factory=RetrievalConfig)
    """Search and metrics on the unseen classes."""
    ablations: tuple[Ablation, ...] = ()
    """Further arms beside candidate and baseline, which no gate asks: kl (the metric loss and
    alignment), grpo (the metric loss and verdicts), kl_only (alignment alone, the tower as it comes)."""
    study: str | None = None
    """A study's summary.json, whose differences stand beside the run's own: the name of a bundled one
    (configs/studies/results) or the path of a file; null shows none."""
    gates: str = "default"
    """Gate policy: the name of a bundled one (configs/gates) or the path of a file."""
    monitoring: str = "default"
    """Drift policy, whose warnings the gates may count: the name of a bundled one (configs/monitoring)
    or the path of a file."""

    def __post_init__(self) -> None:
        check_seed(self.seed)
        for name in ("name", "model"):
            value = getattr(self, name)
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", value):
                raise ValueError(
                    f"{name} must be 1 to 100 letters, digits, '.', '_' or '-', and begin with a "
                    f"letter or digit; got {value!r}"
                )
        if len(set(self.ablations)) < len(self.ablations):
            raise ValueError(f"ablations names an arm twice: {', '.join(self.ablations)}")

    @property
    def candidate_arm(self) -> ArmConfig:
        """The arm that is trained with the supervisor."""
        return self._arm("saga", self.encoder, self.training)

    @property
    def arms(self) -> tuple[ArmConfig, ...]:
        """All that are trained: the baseline, the ablations, the candidate last."""
        return (self.baseline_arm, *map(self._ablation, self.ablations), self.candidate_arm)

    def _ablation(self, name: Ablation) -> ArmConfig:
        """The candidate without some of its terms."""
        given = self.training.weights
        weights, encoder = {
            "kl": (replace(given, grpo=0.0), self.encoder),
            "grpo": (replace(given, kl=0.0), self.encoder),
            "kl_only": (
                replace(given, dml=0.0, grpo=0.0),
                replace(self.encoder, tuning="frozen"),
            ),
        }[name]
        return self._arm(name, encoder, replace(self.training, weights=weights))

    @property
    def baseline_arm(self) -> ArmConfig:
        """The arm that it is compared with."""
        return self._arm("dml", self.baseline_encoder, self.baseline)

    def _arm(self, name: str, encoder: EncoderConfig, training: TrainingConfig) -> ArmConfig:
        return ArmConfig(name, self.supervisor, encoder, training, self.dataset.limits)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as they would stand in a file that leaves nothing out."""
        return asdict(self)

    @property
    def digest(self) -> str:
        """SHA-256 of every setting."""
        return digest_of(self.as_dict())


def load_run_config(path: Path | str, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a run's configuration.

    Args:
        path: YAML file.
        overrides: "dotted.name=value" each, applied in order; the value is YAML.

    Raises:
        UserInputError: one message with every problem found, each with the setting's name.
    """
    path = Path(path)
    raw, problems = _read(path, overrides, RunConfig)
    _locate_beside(raw, path.parent)
    run = _resolve(raw, problems)
    if run is not None:
        from pipelines.combinations import check_combinations

        check_combinations(run, problems)
    problems.raise_all()
    assert run is not None, "a configuration without problems can be built"
    return run


def load_config(cls: type[T], path: Path | str, overrides: Sequence[str] = ()) -> T:
    """Read any other configuration, under the same rules."""
    raw, problems = _read(Path(path), overrides, cls)
    config = build(cls, raw, problems)
    problems.raise_all()
    assert config is not None, "a configuration without problems can be built"
    return config


def _read(path: Path, overrides: Sequence[str], root: type) -> tuple[dict[str, Any], Problems]:
    """The file's mapping with the overrides applied."""
    raw, problems = read_mapping(path), Problems(str(path), root)
    for text in overrides:
        apply_override(raw, text, problems)
    return raw, problems


def _resolve(raw: dict[str, Any], problems: Problems) -> RunConfig | None:
    """The whole configuration, or None where it cannot be built.

    Where a section cannot be, another stands in: what is wrong elsewhere is told all the same.
    """
    missing = [name for name in ("name", "model", "training") if name not in raw]
    raw = _with_changes(_with_seeds(raw), problems)
    values, _ = convert_fields(RunConfig, raw, problems)
    for name in missing:
        problems.add(name, f"{name} is missing.")
    if problems.found:
        values = {"name": "unnamed", "model": "unnamed"} | values
        for name in ("training", "baseline"):
            values.setdefault(name, TrainingConfig(steps=1))
    try:
        return RunConfig(**values)
    except ValueError as error:
        setting, _, _ = str(error).partition(" ")
        problems.add(setting, f"{error}.")
        return None


def _with_changes(raw: dict[str, Any], problems: Problems) -> dict[str, Any]:
    """A copy in which the baseline's sections are whole: the candidate's with some changes."""
    raw = dict(raw)
    for name, of, cls in (
        ("baseline", "training", TrainingConfig),
        ("baseline_encoder", "encoder", EncoderConfig),
    ):
        changes, base = raw.pop(name, {}), raw.get(of, {})
        if name == "baseline" and isinstance(base, Mapping):
            base = merged(base, {"weights": _baseline_weights(base)})
        if not isinstance(changes, Mapping):
            problems.add(name, f"{name} must be a section (key: value lines).")
        elif isinstance(base, Mapping) and not _broken(cls, base):
            raw[name] = merged(base, changes)
        else:  # the candidate's problems are told under its own name
            convert_fields(cls, changes, problems, name)
    return raw


def _broken(cls: type, raw: Mapping[str, Any]) -> bool:
    """Whether a section cannot be built; its problems are told under its own name."""
    silent = Problems("")
    build(cls, raw, silent)
    return bool(silent.found)


def _baseline_weights(training: Mapping[str, Any]) -> dict[str, float]:
    """DML alone, also where the candidate has no DML term."""
    weights = training.get("weights")
    without_dml = isinstance(weights, Mapping) and weights.get("dml") == 0
    return {"grpo": 0.0, "kl": 0.0} | ({"dml": 1.0} if without_dml else {})


def _with_seeds(raw: dict[str, Any]) -> dict[str, Any]:
    """A copy in which the run's seed stands wherever a section follows it."""
    raw = copy.deepcopy(raw)
    seed = raw.get("seed")
    if type(seed) is not int or not 0 <= seed < SEEDS:
        return raw
    for path in SEEDED:
        section: Any = raw
        for name in path:
            section = section.setdefault(name, {}) if isinstance(section, dict) else None
        if isinstance(section, dict):
            section.setdefault("seed", seed)
    return raw


def _locate_beside(raw: dict[str, Any], folder: Path) -> None:
    """Prompts, gate policies and studies may be named relative to the configuration's own folder."""
    supervisor = raw.get("supervisor")
    own = [(raw, name) for name in ("gates", "monitoring", "study")]
    for section, name in ((supervisor, "prompt"), *own):
        given = section.get(name) if isinstance(section, dict) else None
        if isinstance(given, str) and given.endswith((".yaml", ".yml", ".json")):
            beside = folder / given
            if os.path.isfile(beside):
                section[name] = str(beside)  # type: ignore[index]


def gate_policy_path(gates: str) -> Path:
    """The file of a gate policy.

    Raises:
        UserInputError: if there is none of that name.
    """
    return _bundled(CONFIGS / "gates", gates, ".yaml", "gates", "policy")


def drift_policy_path(monitoring: str) -> Path:
    """The file of a drift policy.

    Raises:
        UserInputError: if there is none of that name.
    """
    return _bundled(CONFIGS / "monitoring", monitoring, ".yaml", "monitoring", "drift policy")


def study_path(study: str) -> Path:
    """The file of a study's summary.

    Raises:
        UserInputError: if there is none of that name.
    """
    return _bundled(CONFIGS / "studies" / "results", study, ".json", "study", "study")


def _bundled(folder: Path, given: str, suffix: str, setting: str, what: str) -> Path:
    """A file of the project's own by its name, or any file by its path."""
    for path in (folder / f"{given}{suffix}", Path(os.path.expanduser(given))):
        if os.path.isfile(path):
            return path
    names = ", ".join(sorted(p.stem for p in folder.glob(f"*{suffix}"))) or "none"
    raise UserInputError(f"{setting}: {given} is neither a bundled {what} ({names}) nor a file.")
