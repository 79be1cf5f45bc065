"""Gradients of the policy and of the oracle in the tokens (phase C).

Shapes: P pairs, G group size, T generated tokens.
"""

from contextlib import nullcontext

import torch
from torch import Tensor

from saga.losses.grpo import advantages, grpo_loss, reference_loss
from saga.supervisors.rollout import Completions
from saga.supervisors.supervisor import Supervisor
from saga.training.alignment import Teachers
from saga.training.buffer import Round
from saga.training.configuration import TrainingConfig
from saga.training.microbatch import MicroBatch, tensors_of
from saga.training.optimizer import Gradients
from saga.training.phases import PhaseClock
from saga.training.term import add_gradients


def policy_gradients(
    supervisor: Supervisor,
    held: Round,
    config: TrainingConfig,
    token_count: int,
    teachers: Teachers | None = None,
    clock: PhaseClock | None = None,
) -> tuple[dict[str, float], Gradients]:
    """L_GRPO's share of one round and its gradient in the round's tokens.

    Args:
        supervisor: the frozen model.
        held: one round's kept pairs.
        config: temperature, advantages, pairs at once.
        token_count: generated tokens of the whole buffer; every round is divided by it, so that
            rounds and chunks add up to one big batch.
        teachers: takes the attention of the same replay, where alignment is to follow.
        clock: told how long that takes.

    Returns:
        figures that add up over rounds, and one gradient per tensor of the tokens, that of the
        reference term included.
    """
    leaves = tensors_of(held.micro.leaf)
    sums: Gradients = [None] * len(leaves)
    total = gap = distance = 0.0
    advantage_PG = advantages(held.verdicts.rewards_PG, config.standardise)
    for chunk in torch.arange(len(held.first_P)).split(config.replay_pairs):
        completions = held.verdicts.completions.select(chunk)
        teaches = teachers is not None and teachers.left > 0
        replay = supervisor.replay(
            held.micro.leaf.index(held.first_P[chunk]),
            held.micro.leaf.index(held.second_P[chunk]),
            completions,
            config.rollout,
            capture=teaches,
        )
        if teachers is not None and replay.capture is not None:
            with clock("attention") if clock else nullcontext():
                teachers.take(supervisor, held, chunk, replay.capture)
        inside = token_mask(completions)
        advantage = advantage_PG[chunk].to(replay.logp_PGT.device)
        loss, _ = grpo_loss(replay.logp_PGT, advantage, inside, token_count)
        total += float(loss.detach())
        if held.micro.reference is not None:
            logp_PGT = _reference_logp(supervisor, held, chunk, completions, config)
            apart = reference_loss(replay.logp_PGT, logp_PGT, inside, token_count)
            distance += float(apart.detach())
            loss = loss + config.reference_beta * apart
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
        sums = add_gradients(sums, gradients)
        gap += float((replay.logp_PGT.detach() - completions.logp_PGT)[inside].abs().sum())
    figures = {"loss/grpo": total, "rollout/logp_gap": gap / token_count}
    if held.micro.reference is not None:
        figures["loss/reference"] = distance
    return figures, sums


@torch.no_grad()
def _reference_logp(
    supervisor: Supervisor,
    held: Round,
    chunk: Tensor,
    completions: Completions,
    config: TrainingConfig,
) -> Tensor:
    """Log-probabilities (P, G, T) of the same completions, were the encoder as it came."""
    reference = held.micro.reference
    assert reference is not None
    first, second = (reference.index(of_P[chunk]) for of_P in (held.first_P, held.second_P))
    return supervisor.replay(first, second, completions, config.rollout).logp_PGT


def oracle_gradients(
    supervisor: Supervisor,
    micro: MicroBatch,
    answers: Completions,
    config: TrainingConfig,
    token_count: int,
    pairs: list[int] | None = None,
) -> tuple[float, Gradients]:
    """Negative log-likelihood of the true answers about a batch's pairs, and its gradient.

    Args:
        supervisor: the frozen model.
        micro: the batch.
        answers: the true answer about each of its pairs, (P, 1, T).
        config: temperature, pairs at once.
        token_count: tokens of the true answers of the whole step.
        pairs: those of the batch's pairs that count here, by index; None takes all.

    Returns:
        this batch's share of the loss, and one gradient per tensor of the tokens.
    """
    leaves = tensors_of(micro.leaf)
    sums: Gradients = [None] * len(leaves)
    total = 0.0
    first_P, second_P, _ = micro.pair_tensors()
    chosen = torch.arange(len(first_P)) if pairs is None else torch.tensor(pairs, dtype=torch.long)
    for chunk in chosen.split(config.replay_pairs):
        if not len(chunk):
            continue
        replay = supervisor.replay(
            micro.leaf.index(first_P[chunk]),
            micro.leaf.index(second_P[chunk]),
            answers.select(chunk),
            config.rollout,
        )
        loss = -replay.logp_PGT.sum() / token_count
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
        sums = add_gradients(sums, gradients)
        total += float(loss.detach())
    return total, sums


def token_mask(completions: Completions) -> Tensor:
    """True at generated tokens (P, G, T), end token included."""
    T = completions.tokens_PGT.shape[2]
    index_T = torch.arange(T, device=completions.tokens_PGT.device)
    return index_T < completions.lengths_PG[..., None]
