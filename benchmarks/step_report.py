"""What the timed steps come to: medians, ratios, throughput, share of the floor."""

import statistics
from typing import Any

import torch

from benchmarks.floor import device_of, floor_seconds, measured_device
from benchmarks.scripted import stated
from benchmarks.step_runs import Bench, Run
from benchmarks.step_turns import Measured

PHASES = ("rollout", "replay", "attention", "tower", "dml", "optimizer", "data")
RATIOS = {
    "rollout": ("rollout",),
    "replay": ("replay", "attention"),
    "replay_and_tower": ("replay", "attention", "tower"),
}
"""Phases that each ratio is over."""


def report(bench: Bench, measured: Measured) -> dict[str, Any]:
    """Everything but where it ran."""
    preset = bench.preset
    ways = {"ours": measured.ours, "naive": measured.naive}
    ways = {way: runs for way, runs in ways.items() if runs}
    alone = zip(measured.ours, measured.metric)
    found: dict[str, Any] = {
        "preset": preset.name,
        "sizes": _sizes(bench, measured),
        "seconds": {way: _seconds(runs) for way, runs in ways.items()}
        | {"dml_alone": _median(measured.metric)},
        "saga_over_dml": _median([run.seconds / seconds for run, seconds in alone]),
        "tokens_per_second": {
            way: _median([run.generated / run.phases["rollout"] for run in runs])
            for way, runs in ways.items()
        },
        "peak_memory_bytes": measured.peaks,
        "floor": _floor(bench, measured),
    }
    if measured.naive:
        pairs = preset.naive_pairs or preset.pairs
        found["ratios"] = _ratios(measured)
        found["naive"] = {"pairs_measured": pairs, "scaled": pairs < preset.pairs}
    return found


def _seconds(runs: list[Run]) -> dict[str, float]:
    """Medians by phase; "other" is what no phase covers."""
    by_phase = {p: _median([run.phases.get(p, 0.0) for run in runs]) for p in PHASES}
    other = _median([run.seconds - sum(run.phases.values()) for run in runs])
    return by_phase | {"other": other, "step": _median([run.seconds for run in runs])}


def _ratios(measured: Measured) -> dict[str, float | None]:
    """The naive way's seconds over ours, step by step, then the median; None if nothing was done."""
    both = list(zip(measured.naive, measured.ours))
    found: dict[str, float | None] = {}
    for name, phases in RATIOS.items():
        seconds = [(_sum(naive, phases), _sum(ours, phases)) for naive, ours in both]
        done = [theirs / ours for theirs, ours in seconds if theirs and ours]
        found[name] = _median(done) if done else None
    return found | {"step": _median([naive.seconds / ours.seconds for naive, ours in both])}


def _floor(bench: Bench, measured: Measured) -> dict[str, Any]:
    """Least seconds on this device, and which share of ours they are."""
    assert measured.last is not None
    on_gpu = bench.device == "cuda"
    device = device_of(torch.cuda.get_device_name()) if on_gpu else measured_device()
    if device is None:
        return {"device": None}
    least = floor_seconds(*bench.shapes(), bench.work(measured.last), device)
    return {
        "device": device.name,
        "bytes_per_second": device.bytes_per_second,
        "flops": device.flops,
        "seconds": least,
        "fraction": least["total"] / _median([run.seconds for run in measured.ours]),
    }


def _sizes(bench: Bench, measured: Measured) -> dict[str, Any]:
    preset, step = bench.preset, measured.last
    assert step is not None
    lengths = bench.work(step).lengths_PG
    longest, flat = preset.max_new_tokens, [n for group in lengths for n in group]
    drawn = "sampled" if preset.completion is None else stated(preset.completion, longest)
    return {
        "pairs": preset.pairs,
        "replayed_pairs": len(step.kept),
        "group": preset.group,
        "images": len(step.pixels_B3SS),
        "image_size": preset.image_size,
        "image_tokens": len(bench.supervisor.prefix.slots_a_N),
        "prompt_tokens": len(bench.supervisor.prefix),
        "completions": drawn,
        "completion_tokens_mean": statistics.fmean(flat),
        "completion_tokens_longest": max(flat),
        "repeats": preset.repeats,
    }


def _sum(run: Run, phases: tuple[str, ...]) -> float:
    return sum(run.phases.get(phase, 0.0) for phase in phases)


def _median(values: list[float]) -> float:
    return float(statistics.median(values))


def table(found: dict[str, Any]) -> str:
    """Seconds by phase, side by side."""
    seconds = found["seconds"]
    ways = [way for way in ("ours", "naive") if way in seconds]
    lines = ["seconds     " + "".join(f"{way:>10}" for way in ways)]
    for phase in (*PHASES, "other", "step"):
        lines.append(f"{phase:12}" + "".join(f"{seconds[way][phase]:10.4f}" for way in ways))
    ratios = [f"{name} {ratio:.1f}" for name, ratio in found.get("ratios", {}).items() if ratio]
    if ratios:
        lines.append("naive over ours: " + ", ".join(ratios))
    return "\n".join([*lines, f"SAGA over DML alone: {found['saga_over_dml']:.2f}"])
