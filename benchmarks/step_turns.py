"""Ours, the naive way and DML alone in turns, timed.

Shapes: P pairs, G group size.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from torch import Tensor

from benchmarks.machine import allocated, peak_memory
from benchmarks.naive_step import NaiveStep, Spent, Step
from benchmarks.scripted import scripted
from benchmarks.step_runs import Bench, Run

WARM_UP = 2


@dataclass
class Measured:
    """What the repeats gave."""

    ours: list[Run] = field(default_factory=list)
    naive: list[Run] = field(default_factory=list)
    """Empty where it was not run."""
    metric: list[float] = field(default_factory=list)
    """Seconds of steps of DML alone."""
    peaks: dict[str, int] = field(default_factory=dict)
    """Largest memory of a step, in bytes, by way."""
    last: Step | None = None
    """What the last step worked on."""


def repeated(bench: Bench, with_naive: bool, told: Callable[[str], None]) -> Measured:
    """Steps of each way in turns, after some of each to warm up.

    Args:
        bench: what is run.
        with_naive: whether to run the naive way.
        told: told of each step.
    """
    measured, device = Measured(), bench.device
    with peak_memory(device) as peak:
        for _ in range(WARM_UP):
            bench.ours()
    measured.peaks["ours"] = peak.bytes
    alone, of_others = bench.metric_only(), allocated(device)
    naive = bench.naive() if with_naive else None
    for number in range(1 + bench.preset.repeats):
        ours, measured.last = bench.ours()
        with peak_memory(device, of_others) as peak:
            spent = naive and naive_run(bench, naive, measured.last)
        metric = bench.metric_step(alone)
        if number == 0:
            measured.peaks |= {"naive": peak.bytes} if naive else {}
            continue
        measured.ours.append(ours)
        measured.naive += [spent] if spent else []
        measured.metric.append(metric)
        told(
            f"step {number}: {ours.seconds:.3f} s"
            + (f", naive {spent.seconds:.3f} s" if spent else "")
        )
    return measured


def naive_run(bench: Bench, naive: NaiveStep, step: Step) -> Run:
    """The naive step, scaled to all pairs where it is measured on some."""
    chosen, lengths_PG = _some(step, bench.lengths_PG, bench.preset.naive_pairs)
    with scripted(bench.lengths_PG):
        spent = naive.step(chosen, lengths_PG)
    return scaled(
        spent, len(step.pairs) / len(chosen.pairs), len(step.kept) / max(1, len(chosen.kept))
    )


def scaled(spent: Spent, rolled: float, replayed: float) -> Run:
    """One step from what is done once, for every pair, and for every replayed pair."""
    parts = ((spent.once, 1.0), (spent.rolled, rolled), (spent.replayed, replayed))
    phases: dict[str, float] = {}
    for seconds, factor in parts:
        for phase, value in seconds.items():
            phases[phase] = phases.get(phase, 0.0) + factor * value
    return Run(sum(phases.values()), phases, round(spent.generated * rolled))


def _some(step: Step, lengths_PG: Tensor | None, wanted: int | None) -> tuple[Step, Tensor | None]:
    """The step with some of its contributing pairs: those whose longest completion is most usual."""
    if wanted is None or wanted >= len(step.pairs):
        return step, lengths_PG
    longest_P = step.verdicts.completions.lengths_PG.amax(1).float().cpu()
    chosen = (longest_P - longest_P.mean()).abs().argsort()[:wanted]
    kept = [step.kept[int(p)] for p in chosen]
    pairs = [pair for pair in step.pairs if pair[:2] in kept]
    places = [step.pairs.index(pair) for pair in pairs]
    some = replace(step, pairs=pairs, kept=kept, verdicts=step.verdicts.select(chosen))
    return some, None if lengths_PG is None else lengths_PG[places]
