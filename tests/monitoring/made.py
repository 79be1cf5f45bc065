"""Measured images made of numbers, and drift reports."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from saga.monitoring.image_statistics import STATISTICS
from saga.monitoring.measured import SCHEMA, MeasuredImages
from saga.monitoring.report import DriftReport, image_rows
from tests.retrieval.made import unit

WIDTH = 8


def made_images(
    name: str,
    classes: int = 12,
    each: int = 20,
    seed: int = 0,
    shift: float = 0.0,
    moved: dict[str, float] | None = None,
    first_class: int = 0,
) -> MeasuredImages:
    """Classes around centres of their own; equal classes have equal centres, whatever the seed.

    Args:
        name: of the sample.
        classes: how many.
        each: images of each.
        seed: of the images.
        shift: moves all embeddings in one direction.
        moved: image statistics moved by so many standard deviations.
        first_class: number of the first class.
    """
    rng = np.random.default_rng([seed, len(name)])
    numbers = np.repeat(np.arange(first_class, first_class + classes), each)
    centres = np.stack([np.random.default_rng([99, c]).normal(size=WIDTH) for c in numbers])
    vectors = centres + 0.4 * rng.normal(size=centres.shape)
    vectors[:, 0] += shift
    frame = pd.DataFrame(
        {
            "image": [f"{name}/{i}.png" for i in range(len(numbers))],
            "sha256": ["0" * 64] * len(numbers),
            "class_name": [f"class {c}" for c in numbers],
        }
    )
    for statistic in STATISTICS:
        frame[statistic] = rng.normal((moved or {}).get(statistic, 0.0), 1.0, len(numbers))
    return MeasuredImages(name, frame[SCHEMA.names], unit(vectors), "encoder")


def made_report(**changes: Any) -> DriftReport:
    """Two figures, one of them too large."""
    images = pd.Series(["a.png", "b.png"])
    near = pd.DataFrame({"top1": [0.5, 0.25], "margin": [0.25, 0.125]})
    statistics = pd.DataFrame({name: [0.5, 1.0] for name in STATISTICS})
    report = DriftReport(
        name="queries",
        figures={"domain_auc_gallery": 0.9, "brightness_gallery": 0.1, "recall_at_1_gallery": 0.5},
        expected={"domain_auc_gallery": 0.5},
        thresholds={"domain_auc_gallery": 0.7, "brightness_gallery": 0.3},
        warnings=("queries against gallery: they can be told apart.",),
        not_judged=(),
        digests={"encoder": "e", "queries": "q"},
        images=pd.concat(
            [
                image_rows("queries", images, near, statistics),
                image_rows("training", images, statistics),
            ],
            ignore_index=True,
        ),
        facts={"policy": "default"},
    )
    return replace(report, **changes)
