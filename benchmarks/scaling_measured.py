"""Steps of the embedded example over two processes (gloo): bytes handed to collectives, and waiting.

A spy counts what collectives are given; the formula gets sizes alone. Lengths of completions, what their
pairs explain of them and what reading them costs come from the same steps.

Shapes: P pairs, G group size.
"""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.distributed as dist

from benchmarks.birds import drawn_at_random, drawn_birds
from benchmarks.presets import TINY
from benchmarks.scaling_bytes import StepSizes, Weights, step_bytes
from saga.training.configuration import LossWeights
from saga.training.trainer import Trainer

RANKS, STEPS = 2, 6
LEARNING = 2
"""Steps after which expectations of lengths are held against what came."""
COLLECTIVES = {"all_reduce": 0, "broadcast": 0, "all_gather": 1}
"""By name, the place of the tensor that is handed over."""


@dataclass
class Notes:
    """Of one step on one rank."""

    given: int = 0
    """Bytes."""
    decoded: list[tuple[int, int]] = field(default_factory=list)
    """Pairs and longest completion of each decode batch."""
    lengths_PG: list[np.ndarray] = field(default_factory=list)
    expected_P: list[float] = field(default_factory=list)
    drawn: int = 0
    """Batches encoded."""
    used: int = 0
    keeping: int = 0
    """Batches with contributing pairs."""
    levels: int = 0
    """Deepstack levels and the last one."""


def measured(folder: Path, steps: int = STEPS) -> dict[str, Any]:
    """Bytes by formula and spy, shares of waiting, and figures of the completions.

    Args:
        folder: for images and the processes' meeting place.
        steps: how many each process does.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(RANKS, context) as pool:
        futures = [pool.submit(_rank, rank, folder, steps) for rank in range(RANKS)]
        told = [future.result() for future in futures]
    first = told[0]
    return {
        "ranks": RANKS,
        "steps": steps,
        "bytes": [
            {"measured": [rank["bytes"][s] for rank in told], "formula": first["formula"][s]}
            for s in range(steps)
        ],
        "wait_share_of_each": first["wait_share_of_each"],
        "exchange_share": first["exchange_share"],
        "contributing": first["contributing"],
        "completions": first["completions"],
    }


def _rank(rank: int, folder: Path, steps: int) -> dict[str, Any]:
    torch.set_num_threads(1)
    own = folder / str(rank)
    own.mkdir()
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=RANKS
    )
    try:
        return _steps(own, steps)
    finally:
        dist.destroy_process_group()


def _steps(folder: Path, steps: int) -> dict[str, Any]:
    preset = replace(TINY, images_per_class=2)
    manifest = drawn_birds(folder, preset.image_size, preset.classes_per_batch + 4, 4)
    arm = preset.arm("cpu", LossWeights())
    # As a run refills: until as many pairs contribute as a round has.
    training = replace(arm.training, max_rounds=4, term_norms_every=0)
    trainer = Trainer(replace(arm, training=training), manifest, drawn_at_random(manifest))
    notes, sizes, reading = [], [], [0.0, 0]
    with _reading_timed(trainer, reading):
        for _ in range(steps):
            with noting(trainer) as of_step:
                trainer.step()
            notes.append(of_step)
            sizes.append(sizes_of(trainer, of_step))
    frame = trainer.history().frame
    return {
        "bytes": [of_step.given for of_step in notes],
        "formula": [step_bytes(of_step) for of_step in sizes],
        "wait_share_of_each": [
            float(frame[f"ranks/wait_share_of_{rank}"].mean()) for rank in range(RANKS)
        ],
        "exchange_share": float(frame["ranks/exchange_share"].mean()),
        "contributing": float(frame["rollout/contributing"].mean()),
        "completions": _completions(notes) | {"read_seconds_a_token": reading[0] / reading[1]},
    }


@contextmanager
def noting(trainer: Trainer) -> Iterator[Notes]:
    """Counts what this process hands to collectives and notes what it decodes."""
    notes = Notes()
    gatherer = trainer.gatherer
    of_all, encode, learn = gatherer._of_all, gatherer._encode, gatherer.lengths.learn
    gather = gatherer.gather

    def counted(function: Callable[..., Any], place: int) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            notes.given += arguments[place].nbytes
            return function(*arguments, **named)

        return call

    def gathered(*arguments: Any) -> Any:
        micros, buffer = gather(*arguments)
        notes.used, notes.keeping = len(micros), len(buffer.rounds)
        notes.levels = 1 + len(micros[0].leaf.deepstack)
        return micros, buffer

    def brought_together(*arguments: Any) -> Any:
        whole = of_all(*arguments)
        notes.decoded.append((len(whole.tokens_PGT), whole.tokens_PGT.shape[2]))
        notes.lengths_PG.append(whole.lengths_PG.numpy())
        return whole

    def encoded(*arguments: Any) -> Any:
        notes.drawn += 1
        return encode(*arguments)

    def learnt(pairs: Any, lengths: Any) -> None:
        notes.expected_P += [gatherer.lengths.of(*pair) for pair in pairs]
        learn(pairs, lengths)

    with ExitStack() as patches:
        for name, place in COLLECTIVES.items():
            spy = counted(getattr(dist, name), place)
            patches.enter_context(patch.object(dist, name, spy))
        patches.enter_context(patch.object(gatherer, "gather", gathered))
        patches.enter_context(patch.object(gatherer, "_of_all", brought_together))
        patches.enter_context(patch.object(gatherer, "_encode", encoded))
        patches.enter_context(patch.object(gatherer.lengths, "learn", learnt))
        yield notes


def sizes_of(trainer: Trainer, notes: Notes) -> StepSizes:
    """Sizes of the step that was just done."""
    tower, pooler, supervisor = trainer.tower, trainer.pooler, trainer.supervisor
    assert supervisor is not None
    named = dict(pooler.named_parameters())
    looking = [named["query_QD"], named["key_DD"]]
    return StepSizes(
        images=trainer.settings.classes_per_batch * trainer.settings.images_per_class,
        tokens=len(supervisor.prefix.slots_a_N),
        width=tower.width,
        levels=notes.levels,
        embedding=pooler.embedding_dim,
        drawn=notes.drawn,
        used=notes.used,
        keeping=notes.keeping,
        decoded=notes.decoded,
        group=trainer.settings.rollout.group_size,
        encoder=weights_of(trainer.parameters.encoder),
        pooler=weights_of(trainer.parameters.pooler),
        looking=weights_of(looking),
        proxies=weights_of(trainer.parameters.proxies),
    )


def weights_of(parameters: Any) -> Weights:
    """Of some parameters."""
    held = list(parameters)
    return Weights(sum(p.numel() for p in held), len(held))


@contextmanager
def _reading_timed(trainer: Trainer, spent: list[float]) -> Iterator[None]:
    """Adds up CPU seconds of reading, and the tokens read."""
    supervisor = trainer.supervisor
    assert supervisor is not None
    read = supervisor.read

    def timed(completions: Any) -> Any:
        began = time.process_time()
        answers = read(completions)
        spent[0] += time.process_time() - began
        spent[1] += int(completions.lengths_PG.sum())
        return answers

    with patch.object(supervisor, "read", timed):
        yield


def _completions(notes: list[Notes]) -> dict[str, float]:
    """How lengths vary, what of it lies between pairs, and how well it was expected."""
    logs_PG = np.log(np.concatenate([part for of_step in notes for part in of_step.lengths_PG]))
    within = logs_PG.var(1, ddof=1).mean()
    between = max(0.0, logs_PG.mean(1).var(ddof=1) - within / logs_PG.shape[1])
    late = notes[LEARNING:]
    came = np.concatenate([part.mean(1) for of_step in late for part in of_step.lengths_PG])
    expected = np.concatenate([of_step.expected_P for of_step in late])
    return {
        "mean": float(np.exp(logs_PG).mean()),
        "sigma": float(np.sqrt(within + between)),
        "between_pairs": float(between / (within + between)),
        "expected_correlation": float(np.corrcoef(expected, came)[0, 1]),
    }
