"""What a whole SAGA step costs, phase by phase: ours against an obvious implementation.

    python -m benchmarks.step --preset tiny --device cpu --json step.json
    python -m benchmarks.step --preset qwen3-vl-8b --device cuda --json step.json

Both ways do the same steps in turns, in one process: the same images and pairs, and the same completions
to replay. Ours is saga.training.trainer.Trainer; the other is benchmarks.naive_step. `ratios` are medians
over the steps of the naive way's seconds over ours. In "rollout" and "replay" the tower is left out on both
sides, which favours the naive way: it runs the tower again for every pair and every completion; "replay"
holds the capture of attention. Where the naive way is measured on fewer pairs than the step has, it is
scaled by the number of pairs and `naive.scaled` says so.

Needs torch, transformers and saga alone. Seconds are of this machine and of no other. The large models
have random weights, drawn lengths and written verdicts (benchmarks.presets, benchmarks.scripted).
"""

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.equal import differences
from benchmarks.machine import where
from benchmarks.presets import PRESETS, Preset
from benchmarks.step_report import report, table
from benchmarks.step_runs import Bench
from benchmarks.step_turns import repeated
from benchmarks.sweep import sweep
from saga.files import write_json

OVERRIDES = ("pairs", "group", "prompt", "completion", "naive_pairs", "repeats", "replay_pairs")


def main() -> None:
    """Measure, print and write."""
    options = _options()
    preset = chosen_preset(options)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(
            preset,
            options.device,
            Path(folder),
            naive=not options.no_naive,
            with_sweep=options.sweep,
        )
    if options.json:
        write_json(options.json, found)
    print(json.dumps(found, indent=2))  # noqa: T201 - what the benchmark is for
    _tell(table(found))


def measure(
    preset: Preset,
    device: str,
    folder: Path,
    *,
    naive: bool = True,
    with_sweep: bool = False,
) -> dict[str, Any]:
    """The whole report.

    Args:
        preset: sizes.
        device: "cpu" or "cuda".
        folder: for images.
        naive: whether to run the naive way, too.
        with_sweep: whether to measure how the cost grows, too.
    """
    bench = Bench(preset, device, folder)
    found = report(bench, repeated(bench, naive, _tell))
    if naive:
        found["equal"] = differences(bench, preset.naive_pairs)
    if with_sweep:
        found["sweep"] = sweep(bench, _tell)
    return found | {"environment": where(device)}


def chosen_preset(options: argparse.Namespace) -> Preset:
    """The preset with what the command overrides; a shallow model gets few images, too."""
    preset = PRESETS[options.preset]
    given = {name: getattr(options, name) for name in OVERRIDES}
    preset = replace(preset, **{name: v for name, v in given.items() if v is not None})
    if options.depth and preset.shape is not None:
        few = range(min(len(preset.shape.deepstack), options.depth))
        shape = replace(
            preset.shape, layers=options.depth, vision_depth=options.depth, deepstack=tuple(few)
        )
        preset = replace(preset, shape=shape, classes_per_batch=4, images_per_class=2)
    return preset


def _options() -> argparse.Namespace:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", choices=PRESETS, default="tiny")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--json", type=Path, help="file to write")
    parser.add_argument("--pairs", type=int, help="pairs of a step")
    parser.add_argument("--group", type=int, help="completions of a pair")
    parser.add_argument("--prompt", type=int, help="tokens that the prompt is padded to")
    parser.add_argument(
        "--completion", type=int, help="mean length of drawn completions, in tokens"
    )
    parser.add_argument("--naive-pairs", type=int, help="pairs that the naive way is measured on")
    parser.add_argument("--steps", type=int, dest="repeats", help="steps that are timed")
    parser.add_argument("--replay-pairs", type=int, help="pairs that ours replays at once")
    parser.add_argument("--no-naive", action="store_true", help="ours and DML alone")
    parser.add_argument("--sweep", action="store_true", help="how the cost grows, as well")
    parser.add_argument("--depth", type=int, help=argparse.SUPPRESS)  # a large model made shallow
    return parser.parse_args()


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a large model takes long


if __name__ == "__main__":
    main()
