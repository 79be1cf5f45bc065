"""What more GPUs bring: steps of Qwen3-VL-8B over 1 to 512 of them, simulated.

    python -m benchmarks.scaling --json benchmarks/results/scaling.json --curve docs/images/scaling.svg

Two questions: a fixed step that more GPUs share (strong), and a step that grows with them (weak: images,
pairs and contributing pairs of a batch are so many times those of one GPU). Efficiency is the work done
in a GPU's second over that of one GPU alone.

Where figures come from:

    seconds          the floor's arithmetic on an H200 (benchmarks/floor.py), as it is and slowed down to
                     the share of the floor that was measured (step-tiny-cpu.json)
    bytes            the formula of benchmarks/scaling_bytes.py, held against a spy over two processes
    contributing     the share that was measured (choice.json)
    lengths          log-normal, the mean and sigma of the step benchmark (benchmarks/scripted.py); what of
                     it lies between pairs, and how well it is expected, as measured here
    reading          seconds a token, as measured here
    network          data sheets (benchmarks/scaling_model.py)

Optimizer, data and the host's own work are left out. Seeded; the measured part changes with the machine.
"""

import argparse
import json
import statistics
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen3VLForConditionalGeneration

from benchmarks.floor import Language, Tower
from benchmarks.machine import where
from benchmarks.presets import LARGE, QWEN3_VL_8B
from benchmarks.scaling_bytes import StepSizes, Weights
from benchmarks.scaling_curve import draw_curve
from benchmarks.scaling_measured import measured, weights_of
from benchmarks.scaling_model import Cluster, Model
from benchmarks.scaling_simulation import DEALINGS, Lengths, Setting, Spent, mean_spent
from benchmarks.scripted import SPREAD
from saga.files import write_json

RESULTS = Path(__file__).parent / "results"
GPUS = tuple(2**k for k in range(10))
STEPS_LEAST, STEPS_GPUS, STEPS_SHARED = 4, 256, 48
"""Simulated steps: of a growing step as many as make so many GPUs' steps, at least so few; of a shared one
so many."""
WIDER = 2.0
"""Times the spread of lengths, to see what it does."""
WIDER_GPUS = 64
"""At which it is seen."""
ROUNDS = 8
"""Most batches of a step, as configured by default."""
PROXIES = 15 * 100
"""Of potential field: 15 for each of CUB-200's training classes (METHOD sections 3 and 6)."""
IMAGES = {"CUB-200-2011": 5864, "iNat-Aves": 743 * 50}
"""Training images (METHOD section 6; 50 an iNaturalist class)."""
STATE_BYTES = 16
"""Of a trained number: itself, its gradient and two moments."""
PAYS = 1.5
"""Twice the GPUs must give so many times the work, or they do not pay."""


def main() -> None:
    """Measure, simulate, draw, print and write."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="file to write")
    parser.add_argument("--curve", type=Path, help="SVG file to draw")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seen = measured(Path(folder))
    found = scaling(seen) | {"measured": seen, "environment": where("cpu")}
    if options.json:
        write_json(options.json, found)
    if options.curve:
        draw_curve(found, options.curve)
    print(json.dumps(found, indent=2))  # noqa: T201 - what the benchmark is for


def scaling(seen: dict[str, Any], gpus: tuple[int, ...] = GPUS) -> dict[str, Any]:
    """Both questions, and what follows from them.

    Args:
        seen: what was measured over two processes.
        gpus: how many to simulate, ascending, from 1.
    """
    setting, model = made_setting(seen["completions"]), made_model(seen["completions"])
    images = setting.sizes.images
    slow = replace(model, slowdown=1 / _fraction())
    wide = replace(setting, lengths=replace(setting.lengths, sigma=WIDER * SPREAD))
    shared = tuple(n for n in gpus if n <= images)  # each needs an image
    weak = {dealing: rows(setting, model, gpus, dealing, grows=True) for dealing in DEALINGS}
    strong = {dealing: rows(setting, model, shared, dealing) for dealing in DEALINGS}
    found = {
        "weak": weak,
        "strong": strong,
        "weak_slower": rows(setting, slow, gpus, "balanced", grows=True),
        "weak_wider": {
            dealing: rows(wide, model, (1, WIDER_GPUS), dealing, grows=True) for dealing in DEALINGS
        },
    }
    held = 2 * 4 * images * setting.sizes.tokens * setting.sizes.width * setting.sizes.levels
    batches = 1 / setting.contributing
    room = model.cluster.memory_bytes - model.language.weights * model.language.bytes_each
    room -= STATE_BYTES * setting.sizes.encoder.numbers
    return found | {
        "pays_up_to": {
            "weak": pays_up_to(weak["balanced"], grows=True),
            "strong": pays_up_to(strong["balanced"]),
        },
        "tokens_held": {
            "bytes_a_gpu": held * batches,
            "room_bytes": room,
        },
        "one_step_an_epoch": {name: count / images for name, count in IMAGES.items()},
        "read_by_all_seconds_a_gpu": model.read_seconds
        * setting.lengths.mean
        * setting.sizes.group
        * setting.wanted
        / setting.contributing,
        "assumed": {
            "lengths": asdict(setting.lengths),
            "contributing": setting.contributing,
            "read_seconds_a_token": model.read_seconds,
            "slowdown": slow.slowdown,
            "wider_sigma": wide.lengths.sigma,
            "images": images,
            "pairs": setting.pairs,
            "wanted": setting.wanted,
            "group": setting.sizes.group,
            "cluster": asdict(model.cluster),
        },
    }


def rows(
    setting: Setting, model: Model, gpus: tuple[int, ...], dealing: str, grows: bool = False
) -> list[dict[str, float]]:
    """One for each number of GPUs."""
    found, alone = [], None
    for n in gpus:
        of_n = setting.times(n) if grows else setting
        steps = max(STEPS_LEAST, STEPS_GPUS // n) if grows else STEPS_SHARED
        spent = mean_spent(of_n, model, n, dealing, steps)
        alone = alone or spent
        found.append(_row(n, spent, alone, grows))
    return found


def pays_up_to(found: list[dict[str, float]], grows: bool = False) -> int:
    """The most GPUs whose half does not do nearly as well."""
    speed = [(row["gpus"] if grows else 1) / row["seconds"] for row in found]
    last = int(found[0]["gpus"])
    for row, before, now in zip(found[1:], speed, speed[1:]):
        if now < PAYS * before:
            break
        last = int(row["gpus"])
    return last


def made_setting(completions: dict[str, float]) -> Setting:
    """The paper's step of Qwen3-VL-8B (METHOD section 4)."""
    assert LARGE.completion is not None
    choice = json.loads((RESULTS / "choice.json").read_text())["modes"]["unbiased"]
    encoder, width, merged = _tower_weights()
    E = width
    sizes = StepSizes(
        images=LARGE.classes_per_batch * LARGE.images_per_class,
        tokens=merged,
        width=width,
        levels=1 + len(QWEN3_VL_8B.deepstack),
        embedding=E,
        drawn=1,
        used=1,
        keeping=1,
        decoded=[],
        group=LARGE.group,
        encoder=encoder,
        pooler=Weights(width + width**2 + E * width, 3),
        looking=Weights(width + width**2, 2),
        proxies=Weights(PROXIES * E, 1),
    )
    lengths = Lengths(
        LARGE.completion,
        SPREAD,
        completions["between_pairs"],
        max(0.0, completions["expected_correlation"]),
        LARGE.max_new_tokens,
    )
    contributing = statistics.fmean(row["contributing"] for row in choice)
    return Setting(sizes, LARGE.pairs, LARGE.pairs, contributing, ROUNDS, lengths)


def made_model(completions: dict[str, float]) -> Model:
    """Of Qwen3-VL-8B on H200s."""
    assert LARGE.prompt is not None
    config = QWEN3_VL_8B.config(_IDS)
    return Model(
        Language.of(config.text_config, 2),
        Tower.of(config.vision_config),
        Cluster(),
        LARGE.prompt,
        LARGE.image_size,
        completions["read_seconds_a_token"],
    )


_IDS = {"image": 5, "video": 6, "start": 3, "stop": 4, "pad": 0, "end": 1}


def _tower_weights() -> tuple[Weights, int, int]:
    """Numbers and tensors of the tower, the width of its tokens, and tokens of an image."""
    config = QWEN3_VL_8B.config(_IDS)
    with torch.device("meta"):
        model = Qwen3VLForConditionalGeneration._from_config(config)
    side = LARGE.image_size // config.vision_config.patch_size
    tokens = side**2 // config.vision_config.spatial_merge_size**2
    return weights_of(model.model.visual.parameters()), QWEN3_VL_8B.hidden, tokens


def _fraction() -> float:
    """Of the floor, as measured."""
    found = json.loads((RESULTS / "step-tiny-cpu.json").read_text())
    return float(found["floor"]["fraction"])


def _row(gpus: int, spent: Spent, alone: Spent, grows: bool) -> dict[str, float]:
    ideal = alone.seconds if grows else alone.seconds / gpus
    return {
        "gpus": gpus,
        "seconds": spent.seconds,
        "efficiency": ideal / spent.seconds,
        "wait_share": spent.waited / spent.seconds,
        "exchange_share": spent.exchanging / spent.seconds,
        "bytes": spent.given,
    }


if __name__ == "__main__":
    main()
