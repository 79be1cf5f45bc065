"""How our step's cost grows: one factor at a time around a preset, everything else as it is.

Lengths are drawn and verdicts written on every model, so that the factor is all that changes.
"""

import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.presets import Preset
from benchmarks.step_runs import Bench
from saga.supervisors.checkpoint import Checkpoint

MULTIPLES = (0.5, 1.0, 2.0)
EMBEDDED_COMPLETION = 18
"""Mean length of the embedded supervisor's own completions."""


def sweep(bench: Bench, told: Callable[[str], None]) -> dict[str, list[dict[str, Any]]]:
    """Median seconds of a step and its phases, by factor and value.

    Args:
        bench: the middle of the sweep; its model is used for all.
        told: told of each value.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for factor, value, changed in variations(bench.preset, bench.own_prompt):
        row = {"value": value} | measured(changed, bench.device, bench.checkpoint)
        found.setdefault(factor, []).append(row)
        told(f"{factor} {value}: {row['seconds']:.3f} s")
    return found


def variations(preset: Preset, own_prompt: int) -> Iterator[tuple[str, int, Preset]]:
    """Factor, value, and the preset that has it; shorter prompts than the model's own are left out."""
    middle = preset
    if preset.completion is None:
        longest = 4 * EMBEDDED_COMPLETION
        middle = replace(preset, completion=EMBEDDED_COMPLETION, max_new_tokens=longest)
    prompt, mean = middle.prompt or own_prompt, middle.completion or 0
    for factor in ("group", "pairs", "images_per_class"):
        for multiple in MULTIPLES:
            value = max(2, round(multiple * getattr(middle, factor)))
            changed: dict[str, Any] = {factor: value}
            yield factor, value, replace(middle, **changed)
    for tokens in (round(multiple * prompt) for multiple in MULTIPLES):
        if tokens >= own_prompt:
            yield "prompt", tokens, replace(middle, prompt=tokens)
    for multiple in MULTIPLES:
        tokens, longest = round(multiple * mean), round(multiple * middle.max_new_tokens)
        yield "completion", tokens, replace(middle, completion=tokens, max_new_tokens=longest)


def measured(preset: Preset, device: str, checkpoint: Checkpoint) -> dict[str, Any]:
    """Median of some steps after one to warm up."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(preset, device, Path(folder), checkpoint)
        runs = [bench.ours()[0] for _ in range(1 + preset.repeats)][1:]
    phases = runs[0].phases
    return {
        "seconds": statistics.median(run.seconds for run in runs),
        "phases": {
            name: statistics.median(run.phases.get(name, 0.0) for run in runs) for name in phases
        },
        "generated_tokens": runs[-1].generated,
    }
