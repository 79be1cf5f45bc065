"""Holds figures against their limits, and says in sentences which are beyond.

The threshold of a figure is what is expected, plus the change that would matter (the policy's
limit), plus what independent images of the same kind show by chance with probability
`policy.chance`:

- the AUC of a classifier tested on half of n and m images: z · √((n + m + 1) / (12 n m)), n and m
  halved (Mann-Whitney);
- PSI: the quantile over random exchanges of the two samples' images, which leave the bins as they
  are: so many draws from the hypergeometric distribution of the bins' counts. (The asymptotic χ² is a
  third too small at 200 images a side, as empty bins weigh heavily.)
- Wasserstein distance in standard deviations: (z₂ + SHAPE) · √(1/n + 1/m), z₂ the two-sided normal
  quantile, which is what the difference of means alone needs.
"""

from dataclasses import dataclass, field
from math import ceil, sqrt

import numpy as np
from scipy import stats

from saga.monitoring.image_statistics import STATISTICS
from saga.monitoring.policy import DriftPolicy, Kind

EMPTY = 1e-4
"""Share that Evidently gives an empty bin, unless a full one is smaller."""
FEWEST_TO_BIN = 20
"""Values up to which Evidently takes each as a bin of its own."""
DRAWS_BEYOND = 20
"""Draws that are to lie beyond the quantile."""
SHAPE = 0.3
"""What the rest of the distribution adds; 8,000 simulations of normal and of exponential samples lie
between 0 and 0.5 at chances from 0.1 to 0.001."""
_OWN: dict[str, Kind] = {
    "domain_auc": "domain_auc",
    "top1_psi": "similarity_psi",
    "margin_psi": "similarity_psi",
    "recall_loss": "recall_loss",
}
_SHIFT: Kind = "image_shift"
KIND_OF: dict[str, Kind] = _OWN | dict.fromkeys(STATISTICS, _SHIFT)
"""The limit that each figure has, by its name without the reference."""
SPOKEN = {
    "domain_auc": "a linear classifier tells their embeddings apart with an AUC of {value}",
    "top1_psi": "the similarity with the nearest image has shifted (PSI {value})",
    "margin_psi": "the margin between the two nearest images has shifted (PSI {value})",
    "recall_loss": "Recall@1 of labelled queries has surely lost {value}",
} | {name: f"{name} has moved by {{value}} standard deviations" for name in STATISTICS}


@dataclass
class Assessment:
    """Collects figures of one report."""

    policy: DriftPolicy
    figures: dict[str, float] = field(default_factory=dict)
    expected: dict[str, float] = field(default_factory=dict)
    thresholds: dict[str, float] = field(default_factory=dict)
    not_judged: list[str] = field(default_factory=list)
    _subjects: dict[str, str] = field(default_factory=dict)

    def add(
        self,
        name: str,
        value: float,
        chance: float,
        subject: str,
        expected: float | None = None,
    ) -> None:
        """Note a figure that is judged.

        Args:
            name: `<kind or statistic>_<reference>`.
            value: of the figure.
            chance: what may be added by chance.
            subject: what is compared, as a sentence begins.
            expected: where nothing has changed; None where that is 0.
        """
        self.figures[name] = value
        if expected is not None:
            self.expected[name] = expected
        limit = getattr(self.policy.limits, kind_of(name))
        self.thresholds[name] = (expected or 0.0) + limit + chance
        self._subjects[name] = subject

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each figure above its threshold."""
        return tuple(
            self._sentence(name, most)
            for name, most in self.thresholds.items()
            if self.figures[name] > most
        )

    def _sentence(self, name: str, most: float) -> str:
        said = SPOKEN[base_of(name)].format(value=f"{self.figures[name]:.3f}")
        near = f", expected {self.expected[name]:.3f}" if name in self.expected else ""
        return f"{self._subjects[name]}: {said}{near}; the threshold is {most:.3f}."


def base_of(name: str) -> str:
    """A figure's name without its reference.

    Raises:
        ValueError: if there is no such figure.
    """
    for base in KIND_OF:
        if name == base or name.startswith(f"{base}_"):
            return base
    raise ValueError(f"there is no figure {name}")


def kind_of(name: str) -> Kind:
    """Which of the policy's limits a figure has."""
    return KIND_OF[base_of(name)]


def auc_by_chance(n: int, m: int, chance: float) -> float:
    """How far above 0.5 the AUC may be, tested on half of n and m images."""
    n, m = max(n // 2, 1), max(m // 2, 1)
    return float(stats.norm.isf(chance)) * sqrt((n + m + 1) / (12 * n * m))


def psi_by_chance(current: np.ndarray, reference: np.ndarray, chance: float) -> float:
    """How large Evidently's PSI may be.

    Args:
        current: one value per image (n,).
        reference: likewise (m,).
        chance: with which a larger one occurs where images were exchanged at random.
    """
    pooled = np.concatenate([current, reference])
    if len(np.unique(reference)) > FEWEST_TO_BIN:
        counts = np.histogram(pooled, np.histogram_bin_edges(pooled, "sturges"))[0]
    else:
        counts = np.unique(pooled, return_counts=True)[1]
    draws = ceil(DRAWS_BEYOND / chance)
    rng = np.random.default_rng(0)
    drawn = rng.multivariate_hypergeometric(counts, len(current), size=draws)
    p, q = (_shares(side) for side in (drawn, counts - drawn))
    return float(np.quantile(((p - q) * np.log(p / q)).sum(axis=1), 1 - chance))


def _shares(counts: np.ndarray) -> np.ndarray:
    """Of each row; an empty bin counts as Evidently counts it."""
    shares = counts / counts.sum(axis=1, keepdims=True)
    least = np.where(shares > 0, shares, 1.0).min(axis=1, keepdims=True)
    return np.where(shares > 0, shares, np.where(least <= EMPTY, least / 1e6, EMPTY))


def wasserstein_by_chance(n: int, m: int, chance: float) -> float:
    """How large the distance may be, in standard deviations."""
    return (float(stats.norm.isf(chance / 2)) + SHAPE) * sqrt(1 / n + 1 / m)
