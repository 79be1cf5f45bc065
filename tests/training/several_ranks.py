"""Something done by each process of a group (gloo), and what each came to."""

import multiprocessing
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from saga.data.manifest import DatasetManifest
from saga.mining.pairs import PairSet
from saga.training.arm import ArmConfig
from saga.training.trainer import Trainer

Step = dict[str, Any]
UNEVEN: dict[str, Any] = {
    "classes_per_batch": 5,
    "images_per_class": 3,  # 15 images, 7 pairs: no even share
    "pairs_per_round": 7,
    "contributing_pairs": 5,
    "alignment_pairs": 3,
    "refill": "ahead",
    "flip": True,
    "jitter": 0.1,
    "term_norms_every": 2,
    "optimizer": {"warmup_fraction": 0.0},
}
"""Settings of an arm whose step has no even share for several ranks."""
PATIENCE = 300
"""Seconds in which a rank has to say something."""


def by_ranks(
    world: int,
    folder: Path,
    work: Callable[..., Any],
    *arguments: Any,
    limit: float = 120.0,
    silent: tuple[int, ...] = (),
) -> list[Any]:
    """What each rank's `work(*arguments)` returned, or what it raised.

    Args:
        world: how many ranks.
        folder: where they find each other.
        work: done by each in its group; a function of a module.
        arguments: of it.
        limit: of the group, in seconds.
        silent: ranks that are not waited for; they are stopped, and come to None.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # one import for all
    ends = [context.Pipe() for _ in range(world)]
    store = f"file://{folder}/store-{world}"
    processes = [
        context.Process(
            target=_rank, args=(rank, world, store, limit, end, work, arguments), daemon=True
        )
        for rank, (_, end) in enumerate(ends)
    ]
    for process in processes:
        process.start()
    try:
        spoken = [rank for rank in range(world) if rank not in silent]
        for rank in spoken:
            assert ends[rank][0].poll(PATIENCE), f"rank {rank} said nothing"
        return [ends[rank][0].recv() if rank in spoken else None for rank in range(world)]
    finally:
        for process in processes:
            process.kill()
            process.join()


def _rank(
    rank: int,
    world: int,
    store: str,
    limit: float,
    connection: Any,
    work: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=store,
        rank=rank,
        world_size=world,
        timeout=timedelta(seconds=limit),
    )
    try:
        connection.send(work(*arguments))
    except Exception as error:  # what it was is for the test to say
        connection.send(error)
    connection.recv()  # until it is killed: a group that ends breaks what others still exchange


def steps_of(
    arms: list[ArmConfig], manifest: DatasetManifest, pairs: PairSet
) -> list[tuple[Step, dict[str, float]]]:
    """Of each arm's first step: pairs, completions and gradients, and its figures."""
    return [first_step(Trainer(arm, manifest, pairs)) for arm in arms]


def first_step(trainer: Trainer) -> tuple[Step, dict[str, float]]:
    """Pairs, completions and gradients by parameter (arrays), and figures."""
    pairs: list[Any] = []
    completions: list[Any] = []
    gather = trainer.gatherer.gather

    def gathered(*arguments: Any) -> Any:
        micros, buffer = gather(*arguments)
        pairs.extend((micro.rows, micro.pairs) for micro in micros)
        return micros, buffer

    trainer.gatherer.gather = gathered  # type: ignore[method-assign]
    of_all = trainer.gatherer._of_all

    def brought_together(*arguments: Any) -> Any:
        whole = of_all(*arguments)
        completions.append((whole.tokens_PGT.tolist(), whole.lengths_PG.tolist()))
        return whole

    trainer.gatherer._of_all = brought_together  # type: ignore[method-assign]
    metrics = trainer.step()
    modules = {"tower": trainer.tower, "pooler": trainer.pooler, "loss": trainer.metric_loss}
    # As arrays: tensors would travel through files that end with their process.
    gradients = {
        f"{role}.{name}": None if p.grad is None else p.grad.numpy().copy()
        for role, module in modules.items()
        for name, p in module.named_parameters()
    }
    return {"pairs": pairs, "completions": completions, "gradients": gradients}, metrics
