"""How far ours and the naive way are apart on the same completions: log-probabilities, gradient of θ."""

import torch
from torch import Tensor

from benchmarks.naive_step import Step
from benchmarks.step_runs import Bench


def differences(bench: Bench, pairs: int | None = None) -> dict[str, float | int]:
    """Largest differences at the trainer's present weights.

    Args:
        bench: ours; the naive way starts from its weights.
        pairs: the first ones may contribute, the others do not; None lets all.

    Returns:
        "log_prob" and "gradient", largest absolute differences; "gradient_relative", the norm of the
        gradients' difference over the gradient's; "pairs" that contributed.
    """
    ours, step = bench.gradients(pairs)
    naive = bench.naive()
    scores, _ = naive.replay(step)
    theirs = torch.cat([_gradient(p).flatten() for p in naive.parameters.encoder])
    apart = ours - theirs
    return {
        "log_prob": _largest(scores, _replayed(bench, step)),
        "gradient": float(apart.abs().max()),
        "gradient_largest": float(theirs.abs().max()),
        "gradient_relative": float(apart.norm() / theirs.norm()),
        "pairs": len(step.kept),
    }


def _gradient(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


@torch.no_grad()
def _replayed(bench: Bench, step: Step) -> list[Tensor]:
    """Ours, (G, T) for each pair."""
    trainer, parts = bench.trainer, list[Tensor]()
    with trainer._autocast():
        tokens = trainer.tower(step.pixels_B3SS)
        for p in torch.arange(len(step.kept)).split(bench.preset.replay_pairs):
            first, second = ([step.kept[int(i)][side] for i in p] for side in (0, 1))
            completions = step.verdicts.completions.select(p.to(step.labels_B.device))
            replay = bench.supervisor.replay(
                tokens.index(first), tokens.index(second), completions, trainer.settings.rollout
            )
            parts += list(replay.logp_PGT)
    return parts


def _largest(naive: list[list[Tensor]], ours: list[Tensor]) -> float:
    return max(
        float((logp_T - ours_GT[g, : len(logp_T)]).abs().max())
        for group, ours_GT in zip(naive, ours)
        for g, logp_T in enumerate(group)
    )
