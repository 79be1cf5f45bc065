"""Gradients of one step of some arms, by one process or by each of two (gloo)."""

import multiprocessing
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from saga.data.manifest import DatasetManifest
from saga.mining.pairs import PairSet
from saga.training.arm import ArmConfig
from saga.training.trainer import Trainer

Gradients = dict[str, torch.Tensor | None]


def step_gradients(
    arms: list[ArmConfig], manifest: DatasetManifest, pairs: PairSet
) -> list[tuple[Gradients, dict[str, float]]]:
    """Of each arm's first step: gradients by parameter, and figures."""
    found = []
    for arm in arms:
        trainer = Trainer(arm, manifest, pairs)
        metrics = trainer.step()
        modules = {"tower": trainer.tower, "pooler": trainer.pooler, "loss": trainer.metric_loss}
        gradients = {
            f"{role}.{name}": None if p.grad is None else p.grad.clone()
            for role, module in modules.items()
            for name, p in module.named_parameters()
        }
        found.append((gradients, metrics))
    return found


def by_two_ranks(
    arms: list[ArmConfig], manifest: DatasetManifest, pairs: PairSet, folder: Path
) -> list[list[tuple[Gradients, dict[str, float]]]]:
    """What each of two ranks came to."""
    context = multiprocessing.get_context("spawn")
    ends = [context.Pipe() for _ in range(2)]
    for rank in range(2):
        args = (rank, str(folder / "store"), arms, manifest, pairs, ends[rank][1])
        context.Process(target=_rank, args=args, daemon=True).start()
    for ours, _ in ends:
        assert ours.poll(300), "a rank said nothing"
    return [ours.recv() for ours, _ in ends]


def _rank(rank: int, store: str, arms: Any, manifest: Any, pairs: Any, connection: Any) -> None:
    torch.set_num_threads(1)
    minute = timedelta(seconds=120)
    dist.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=2, timeout=minute
    )
    found = step_gradients(arms, manifest, pairs)
    # As arrays: tensors would travel through files that end with this process.
    connection.send(
        [
            ({n: None if g is None else g.numpy() for n, g in gradients.items()}, metrics)
            for gradients, metrics in found
        ]
    )
    dist.barrier()
    dist.destroy_process_group()
