"""Writes the procedural dataset as a folder of PNG files with an annotation table."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from PIL import Image

from saga.data.layouts.synthetic import ANNOTATIONS, SCHEMA
from saga.data.synthetic.attributes import (
    Combination,
    Split,
    entangled_classes,
    family_classes,
    independent_classes,
    values_of,
)
from saga.data.synthetic.colors import random_cast
from saga.data.synthetic.configuration import SyntheticConfig
from saga.data.synthetic.drawing import Scene, draw_bird
from saga.files import replace_folder, write_json
from saga.retrieval.storage import write_table

GENERATOR_VERSION = 1
"""Goes up whenever the same configuration would draw other pixels."""


def draw_classes(config: SyntheticConfig) -> dict[Split, list[Combination]]:
    """The classes of each split; no combination is in two of them."""
    rng = np.random.default_rng([config.seed, 0])
    classes: dict[Split, list[Combination]] = {
        "train": independent_classes(config.train_classes, rng, "train"),
        "validation": family_classes(config.validation_classes, rng, "validation"),
        "test": family_classes(config.test_classes, rng, "test"),
    }
    if config.entangled:  # drawn apart, so that the other sides stay as they are
        apart = np.random.default_rng([config.seed, 7])
        classes["train"] = entangled_classes(config.train_classes, apart, "train")
    return classes


def materialise(
    config: SyntheticConfig,
    folder: Path,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Render the dataset into `folder`, which appears only when it is whole.

    Writes `images/<class>/<image>.png`, `annotations.parquet` (image_id, path, class_id,
    class_name, split, attributes as JSON) and `synthetic.json` (the configuration).

    Args:
        config: what to draw.
        folder: replaced if it exists.
        workers: processes.
        progress: called with (images done, images).
    """
    jobs = list(class_jobs(config))
    rows: list[dict[str, Any]] = []
    with replace_folder(Path(folder)) as building:
        drawing = (delayed(_write_class)(job, str(building)) for job in jobs)
        for part in Parallel(workers, return_as="generator")(drawing):
            rows += part
            if progress is not None:
                progress(len(rows), len(jobs) * config.images_per_class)
        write_table(building / ANNOTATIONS, pd.DataFrame(rows), SCHEMA)
        write_json(building / "synthetic.json", _facts(config))


def is_whole(config: SyntheticConfig, folder: Path) -> bool:
    """Whether `folder` holds this dataset, drawn by this version, with all of its files."""
    try:
        facts = json.loads((folder / "synthetic.json").read_text())
        table = pd.read_parquet(
            folder / "annotations.parquet", columns=["path", "class_id", "split"]
        )
        present = all((folder / path).stat().st_size > 0 for path in table["path"])
    except (OSError, ValueError, TypeError, RecursionError):
        return False
    expected = {job["class_id"]: job["split"] for job in class_jobs(config)}
    each = Counter(zip(table["class_id"], table["split"]))
    counts = dict.fromkeys(expected.items(), config.images_per_class)
    return present and facts == _facts(config) and dict(each) == counts


def _facts(config: SyntheticConfig) -> dict[str, Any]:
    return {"version": GENERATOR_VERSION, "config": asdict(config)}


def class_jobs(config: SyntheticConfig) -> Iterator[dict[str, Any]]:
    """One job per class, numbered through all splits."""
    rng = np.random.default_rng([config.seed, 1])
    class_id = 0
    for split, classes in draw_classes(config).items():
        for combination in classes:
            class_id += 1
            yield {
                "config": config,
                "class_id": class_id,
                "split": split,
                "combination": combination,
                "habitat": tuple(float(v) for v in rng.integers(40, 230, 3)),
            }


def draw_class(job: dict[str, Any]) -> Iterator[np.ndarray]:
    """The images of one of `class_jobs`, uint8 (S, S, 3), the same whatever was drawn before."""
    config: SyntheticConfig = job["config"]
    values = values_of(job["combination"])
    rng = np.random.default_rng([config.seed, 2, job["class_id"]])
    light = np.random.default_rng([config.seed, 6, job["class_id"]])
    for _ in range(config.images_per_class):
        tied = job["split"] == "train" and rng.random() < config.habitat
        scene = Scene(
            config.image_size,
            config.clutter,
            job["habitat"] if tied else None,
            config.haze,
            random_cast(config.tint, light) if config.tint > 0 else None,
            config.shift,
        )
        yield draw_bird(values, rng, scene)


def _write_class(job: dict[str, Any], folder: str) -> list[dict[str, Any]]:
    """Draw one class's images, write them, return their annotation rows."""
    values = values_of(job["combination"])
    class_id: int = job["class_id"]
    name = f"{class_id:03d}." + "_".join(values.values())
    target = Path(folder) / "images" / name
    target.mkdir(parents=True)
    rows = []
    for i, pixels in enumerate(draw_class(job)):
        image_id = f"{class_id:03d}-{i:03d}"
        path = target / f"{image_id}.png"
        Image.fromarray(pixels).save(path)
        rows.append(
            {
                "image_id": image_id,
                "path": path.relative_to(folder).as_posix(),
                "class_id": class_id,
                "class_name": name,
                "split": job["split"],
                "attributes": json.dumps(values),
            }
        )
    return rows
