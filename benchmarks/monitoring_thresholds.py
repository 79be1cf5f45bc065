"""How often monitoring alarms: on queries of the same kind, and on queries that were changed.

    python -m benchmarks.monitoring_thresholds [--policy configs/monitoring/default.yaml]

Synthetic birds in the encoder of the embedded example before training. For each regime and seed a
gallery and training images are drawn; then fresh images of the gallery's classes, several times over,
are the queries: nobody should complain of these. Changed copies of them should be complained of, and
so should queries before a background that no other image has. Two more are for information: fresh
images of a third of the classes, and what the gates see, test against training images. Prints a line
per measurement to stderr and a JSON object: alarms of all, by kind of query. Some minutes.
"""

import argparse
import io
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageFilter

from saga.data.synthetic.attributes import values_of
from saga.data.synthetic.configuration import SyntheticConfig
from saga.data.synthetic.dataset import class_jobs, draw_class
from saga.data.synthetic.drawing import Scene, draw_bird
from saga.data.synthetic.regimes import REGIMES
from saga.encoders.retriever import Retriever
from saga.monitoring.assessment import Assessment
from saga.monitoring.image_statistics import image_statistics
from saga.monitoring.measured import SCHEMA, MeasuredImages
from saga.monitoring.policy import DriftPolicy
from saga.monitoring.verdict import judge
from saga.supervisors.configuration import SupervisorConfig
from saga.training.trainer import untrained_retriever
from steps.drift.candidate import against_training
from steps.drift.live import live_drift

POLICY = Path(__file__).parents[1] / "configs" / "monitoring" / "default.yaml"
USED = ("free", "hazy_habitat")
SEEDS = (12, 13)
"""A gallery each, in each regime; the limits were chosen on seeds 0, 1, 10 and 11."""
REPEATS = 5
"""Sets of fresh queries for each gallery; those of the first are also changed."""
CLASSES, TRAIN_CLASSES = 30, 15
IN_GALLERY, IN_TRAINING, IN_QUERIES = 20, 16, 10
"""Images of each class."""
SIDE = 96
GREENISH = (150.0, 210.0, 120.0)

Pixels = np.ndarray
"""uint8 (S, S, 3)"""


def _haze(pixels: Pixels) -> Pixels:
    return (0.6 * pixels + 0.4 * 200).astype(np.uint8)


def _cast(pixels: Pixels) -> Pixels:
    return (pixels * np.array([1.15, 1.0, 0.8])).clip(0, 255).astype(np.uint8)


def _blur(pixels: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(1.5)))


def _dark(pixels: Pixels) -> Pixels:
    return (0.6 * pixels).astype(np.uint8)


def _jpeg(pixels: Pixels) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=15)
    return np.asarray(Image.open(buffer).convert("RGB"))


MIX, GATES = "a third of the classes", "test against training"
CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    "haze": _haze,
    "colour cast": _cast,
    "blur": _blur,
    "dark": _dark,
    "jpeg quality 15": _jpeg,
}

Case = tuple[str, str, MeasuredImages, MeasuredImages, MeasuredImages]
"""Regime, kind of query, queries, gallery, training images."""


def cases(encoder: Retriever) -> Iterator[Case]:
    """Every measurement to make."""
    for regime in USED:
        for seed in SEEDS:
            yield from _cases(encoder, regime, seed)


def _cases(encoder: Retriever, regime: str, seed: int) -> Iterator[Case]:
    each = max(IN_GALLERY + REPEATS * IN_QUERIES, IN_TRAINING)
    changes: dict[str, Any] = REGIMES[regime].changes
    config = SyntheticConfig(TRAIN_CLASSES, 0, CLASSES, each, SIDE, seed=seed, **changes)
    drawn: dict[str, list[tuple[str, Pixels]]] = defaultdict(list)
    rng = np.random.default_rng([seed, 8])
    for job in class_jobs(config):
        name, images = str(job["class_id"]), draw_class(job)
        if job["split"] == "train":
            drawn["training"] += [(name, next(images)) for _ in range(IN_TRAINING)]
            continue
        drawn["gallery"] += [(name, next(images)) for _ in range(IN_GALLERY)]
        for repeat in range(REPEATS):
            drawn[f"queries {repeat}"] += [(name, next(images)) for _ in range(IN_QUERIES)]
        scene = Scene(SIDE, config.clutter, GREENISH, config.haze)
        values = values_of(job["combination"])
        drawn["background"] += [(name, draw_bird(values, rng, scene)) for _ in range(IN_QUERIES)]
    gallery = _measured("gallery", drawn["gallery"], encoder)
    training = _measured("training", drawn["training"], encoder)
    for repeat in range(REPEATS):
        queries = _measured("queries", drawn[f"queries {repeat}"], encoder)
        yield regime, "unchanged", queries, gallery, training
    few = {str(label) for label in list(dict.fromkeys(gallery.frame["class_name"]))[: CLASSES // 3]}
    fresh = [pair for repeat in range(3) for pair in drawn[f"queries {repeat}"] if pair[0] in few]
    yield regime, MIX, _measured("queries", fresh, encoder), gallery, training
    yield regime, GATES, gallery, gallery, training
    planted = {"one background": drawn["background"]} | {
        name: [(label, change(pixels)) for label, pixels in drawn["queries 0"]]
        for name, change in CHANGES.items()
    }
    for kind, changed in planted.items():
        yield regime, kind, _measured("queries", changed, encoder), gallery, training


def _measured(name: str, images: list[tuple[str, Pixels]], encoder: Retriever) -> MeasuredImages:
    rows = [
        {"image": f"{number}", "sha256": "", "class_name": label}
        | image_statistics(Image.fromarray(pixels))
        for number, (label, pixels) in enumerate(images)
    ]
    frame = pd.DataFrame(rows, columns=SCHEMA.names)
    vectors = encoder.encode([pixels for _, pixels in images])
    return MeasuredImages(name, frame, vectors, encoder.digest)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Rates of false and missed alarms.")
    parser.add_argument("--policy", type=Path, default=POLICY)
    policy = DriftPolicy.load(parser.parse_args().policy)
    encoder = untrained_retriever(SupervisorConfig("embedded", image_size=SIDE, device="cpu"))
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for regime, kind, queries, gallery, training in cases(encoder):
        line: dict[str, Any] = {"regime": regime}
        if kind == GATES:
            assessment = Assessment(policy)
            against_training(assessment, gallery, training)
            line |= {"state": "", "above": list(assessment.warnings)}
        else:
            report = live_drift(queries, gallery, training, policy)
            line |= {"state": str(judge(report, policy).state), "above": report.exceeded}
        found[kind].append(line)
        print(json.dumps({"queries": kind} | line), file=sys.stderr, flush=True)  # noqa: T201
    rates = {
        kind: {
            "measurements": len(lines),
            "retrain": sum(line["state"] == "RETRAIN" for line in lines),
            "any_warning": sum(bool(line["above"]) for line in lines),
        }
        for kind, lines in found.items()
    }
    print(json.dumps({"policy": policy.name, "policy_digest": policy.digest} | rates, indent=2))  # noqa: T201


if __name__ == "__main__":
    main()
