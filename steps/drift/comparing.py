"""Adds the figures of one comparison to an assessment.

`gallery`, `training`, … name the reference; samples with fewer rows than the policy asks for are not
judged, and larger ones are thinned by its seed.
"""

import numpy as np
import pandas as pd

from saga.monitoring.assessment import (
    Assessment,
    auc_by_chance,
    psi_by_chance,
    wasserstein_by_chance,
)
from saga.monitoring.image_statistics import STATISTICS
from saga.monitoring.measured import MeasuredImages
from saga.monitoring.policy import DriftPolicy
from saga.monitoring.similarities import SIMILARITIES
from steps.drift.evidently_methods import PSI, WASSERSTEIN, column_drift, domain_auc

HALVES = 5
"""Random halves of the classes behind what is expected of other classes."""


def add_embeddings(
    assessment: Assessment,
    reference: str,
    current: MeasuredImages,
    other: MeasuredImages,
    expected: float = 0.5,
) -> None:
    """The domain classifier's AUC.

    Args:
        assessment: collects.
        reference: name of `other` in the figure.
        current: what may have drifted.
        other: what it is compared with.
        expected: AUC where nothing has changed.
    """
    policy = assessment.policy
    subject = f"{current.name} against {other.name}"
    if not _enough(assessment, subject, "embeddings", len(current), len(other)):
        return
    n, m = (min(len(images), policy.most_rows) for images in (current, other))
    name, value = f"domain_auc_{reference}", auc(current, other, policy)
    chance = auc_by_chance(n, m, policy.chance)
    if expected + policy.limits.domain_auc + chance >= 1:
        assessment.figures[name], assessment.expected[name] = value, expected
        assessment.not_judged.append(
            f"{subject}: an AUC of {expected:.3f} is expected and chance may add {chance:.3f}, so the "
            "classifier cannot tell."
        )
        return
    assessment.add(name, value, chance, subject, expected)


def add_similarities(
    assessment: Assessment, reference: str, current: pd.DataFrame, other: pd.DataFrame, subject: str
) -> None:
    """PSI of the top-1 similarity and of the margin."""
    if not _enough(assessment, subject, "similarities", len(current), len(other)):
        return
    for name, value in column_drift(current, other, tuple(SIMILARITIES), PSI).items():
        ours, theirs = (frame[name].to_numpy(float) for frame in (current, other))
        chance = psi_by_chance(ours, theirs, assessment.policy.chance)
        assessment.add(f"{name}_psi_{reference}", value, chance, subject)


def add_statistics(
    assessment: Assessment,
    reference: str,
    current: MeasuredImages,
    other: MeasuredImages,
    expected: dict[str, float] | None = None,
) -> None:
    """Distance of each image statistic.

    Args:
        assessment: collects.
        reference: name of `other` in the figures.
        current: what may have drifted.
        other: what it is compared with.
        expected: distances where nothing has changed; None takes 0.
    """
    subject = f"{current.name} against {other.name}"
    if not _enough(assessment, subject, "image statistics", len(current), len(other)):
        return
    chance = wasserstein_by_chance(len(current), len(other), assessment.policy.chance)
    for name, value in statistics_drift(current, other).items():
        near = None if expected is None else expected[name]
        assessment.add(f"{name}_{reference}", value, chance, subject, near)


def auc(current: MeasuredImages, other: MeasuredImages, policy: DriftPolicy) -> float:
    """`domain_auc` of at most `policy.most_rows` images a side."""
    rng = np.random.default_rng(policy.seed)
    return domain_auc(*(_thinned(v.vectors, policy.most_rows, rng) for v in (current, other)))


def statistics_drift(current: MeasuredImages, other: MeasuredImages) -> dict[str, float]:
    """Wasserstein distance of each statistic, in standard deviations of `other`."""
    return column_drift(current.frame, other.frame, tuple(STATISTICS), WASSERSTEIN)


def between_classes(
    images: MeasuredImages, policy: DriftPolicy
) -> tuple[float, dict[str, float]] | None:
    """What other classes alone make of the figures: the mean over random halves of the classes.

    Returns:
        AUC, and the distance of each statistic; None where there are fewer than four classes.
    """
    classes = images.frame["class_name"].dropna().unique()
    if len(classes) < 4:
        return None
    rng = np.random.default_rng(policy.seed)
    aucs, distances = [], []
    for _ in range(HALVES):
        first = images.frame["class_name"].isin(rng.permutation(classes)[: len(classes) // 2])
        halves = [_rows(images, chosen.to_numpy()) for chosen in (first, ~first)]
        aucs.append(auc(halves[0], halves[1], policy))
        distances.append(statistics_drift(halves[0], halves[1]))
    means = pd.DataFrame(distances).mean()
    return float(np.mean(aucs)), {str(name): float(value) for name, value in means.items()}


def _rows(images: MeasuredImages, chosen: np.ndarray) -> MeasuredImages:
    frame = images.frame[chosen].reset_index(drop=True)
    return MeasuredImages(images.name, frame, images.vectors[chosen], images.encoder_digest)


def _thinned(vectors: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    if len(vectors) <= most:
        return vectors
    return vectors[np.sort(rng.choice(len(vectors), most, replace=False))]


def _enough(assessment: Assessment, subject: str, what: str, n: int, m: int) -> bool:
    """Whether both sides have the rows that the policy asks for; noted where not."""
    fewest = assessment.policy.fewest_rows
    if min(n, m) >= fewest:
        return True
    assessment.not_judged.append(
        f"{subject}: {what} are not judged with {n} and {m} images; the policy asks for {fewest}."
    )
    return False
