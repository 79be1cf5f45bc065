"""What counts as drift, as a file that people review.

    name: default
    limits: {domain_auc: 0.08, similarity_psi: 0.1, ...}
    ...

Strict: an unknown key, another type or an impossible value is refused with the place, what is
allowed and the nearest name; all problems at once.

A limit is a size of change that would matter. What differs anyway is added to it: what the same
figure shows between images that nobody complains of, and what so few images show by chance.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from saga.data.configuration import ImageLimits
from saga.errors import UserInputError
from saga.files import digest_of
from saga.settings.checks import check_seed
from saga.settings.strict_yaml import read_mapping
from saga.settings.typed import Problems, build

KINDS = ("domain_auc", "similarity_psi", "image_shift", "recall_loss")
"""Kinds of figures, each with a limit."""
Kind = Literal["domain_auc", "similarity_psi", "image_shift", "recall_loss"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Changes that would matter, each beyond what is expected and beyond chance."""

    domain_auc: float = 0.08
    """How much better than expected a linear classifier may tell both sets of embeddings apart."""
    similarity_psi: float = 0.1
    """Population stability index of the top-1 similarity, and of the margin."""
    image_shift: float = 0.25
    """Wasserstein distance of an image statistic, in the reference's standard deviations."""
    recall_loss: float = 0.05
    """Recall@1 that labelled queries have surely lost against the gallery."""

    def __post_init__(self) -> None:
        for kind in KINDS:
            if not 0 < getattr(self, kind) <= 10:
                raise ValueError(
                    f"{kind} must be above 0 and at most 10, got {getattr(self, kind)}"
                )
        if self.domain_auc >= 0.5:
            raise ValueError(
                f"domain_auc must be below 0.5, got {self.domain_auc}: it is added to the AUC that "
                "is expected, 0.5 or more"
            )


@dataclass(frozen=True)
class DriftPolicy:
    """Limits, and what follows from figures beyond them."""

    name: str
    """As reports call it."""
    limits: Limits = field(default_factory=Limits)
    """A figure beyond its limit is a warning."""
    chance: float = 0.001
    """How often chance alone may push one figure of independent images beyond its limit of 0."""
    fewest_rows: int = 200
    """Images a side below which embeddings and statistics are not judged."""
    fewest_labels: int = 50
    """Labelled queries below which Recall@1 is not judged."""
    most_rows: int = 5000
    """Images a side behind a figure; of more, as many are drawn by `seed`."""
    retrain_on: tuple[Kind, ...] = ("domain_auc", "similarity_psi", "recall_loss")
    """Kinds that ask for a retraining. A change of the images that the encoder does not feel is
    shown, and asks for nothing."""
    retrain_at: int = 1
    """Warnings of these kinds that make a retraining."""
    on_inconclusive: Literal["pass", "refuse"] = "pass"
    """What too few images lead to: exit code 0, or 3."""
    seed: int = 0
    """Of the drawing of images, where there are more than `most_rows`."""
    images: ImageLimits = field(default_factory=ImageLimits)
    """What the image loader accepts."""

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("name must not be empty")
        if not 0 < self.chance <= 0.1:
            raise ValueError(f"chance must be above 0 and at most 0.1, got {self.chance}")
        for name, least in (("fewest_rows", 20), ("fewest_labels", 10), ("retrain_at", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.most_rows < self.fewest_rows:
            raise ValueError(
                f"most_rows must be at least fewest_rows ({self.fewest_rows}), got {self.most_rows}"
            )
        if not self.retrain_on or len(set(self.retrain_on)) != len(self.retrain_on):
            raise ValueError(
                f"retrain_on must name kinds of figures, each once: {', '.join(KINDS)}"
            )
        check_seed(self.seed)

    @cached_property
    def digest(self) -> str:
        """Of the settings, defaults filled in; comments and the order of keys do not count."""
        return digest_of(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `from_dict` takes them, defaults filled in."""
        values = asdict(self)
        values["retrain_on"] = list(self.retrain_on)
        values["images"]["formats"] = list(self.images.formats)
        return values

    @classmethod
    def from_dict(cls, values: Any, source: str = "drift policy") -> "DriftPolicy":
        """Build a policy from plain values.

        Args:
            values: settings by name.
            source: what messages begin with; the file's name.

        Raises:
            UserInputError: saying what is wrong and what is allowed.
        """
        if not isinstance(values, Mapping):
            raise UserInputError(f"{source}: a drift policy holds `name`, `limits` and so on.")
        problems = Problems(source, cls)
        policy = build(cls, values, problems)
        problems.raise_all()
        assert policy is not None, "a policy without problems can be built"
        return policy

    @classmethod
    def load(cls, path: Path | str) -> "DriftPolicy":
        """Read a policy file.

        Raises:
            UserInputError: if it cannot be read or is not a policy.
        """
        return cls.from_dict(read_mapping(Path(path)), str(path))
