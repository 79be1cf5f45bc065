"""Gradients of the two supervised terms over the buffer (phase C).

Shapes: P pairs, G group size, T generated tokens, A attributes, Q pooler queries, N image tokens.
"""

import torch
from torch import Tensor, nn

from saga.encoders.poolers import Pooler
from saga.losses.alignment import alignment_loss
from saga.losses.grpo import advantages, grpo_loss
from saga.supervisors.rollout import Completions
from saga.supervisors.supervisor import Supervisor, Verdicts
from saga.training.buffer import Buffer, Round
from saga.training.configuration import TrainingConfig
from saga.training.microbatch import tensors_of


def policy_gradients(
    supervisor: Supervisor, held: Round, config: TrainingConfig, token_count: int
) -> tuple[dict[str, float], list[Tensor | None]]:
    """L_GRPO's share of one round and its gradient in the round's tokens.

    Args:
        supervisor: the frozen model.
        held: one round's kept pairs.
        config: temperature, advantages, pairs at once.
        token_count: generated tokens of the whole buffer; every round is divided by it, so that
            rounds and chunks add up to one big batch.

    Returns:
        figures that add up over rounds, and one gradient per tensor of the tokens.
    """
    leaves = tensors_of(held.micro.leaf)
    sums: list[Tensor | None] = [None] * len(leaves)
    total = gap = 0.0
    advantage_PG = advantages(held.verdicts.rewards_PG, config.standardise)
    for chunk in torch.arange(len(held.first_P)).split(config.replay_pairs):
        completions = held.verdicts.completions.select(chunk)
        replay = supervisor.replay(
            held.micro.leaf.index(held.first_P[chunk]),
            held.micro.leaf.index(held.second_P[chunk]),
            completions,
            config.rollout,
        )
        inside = token_mask(completions)
        advantage = advantage_PG[chunk].to(replay.logp_PGT.device)
        loss, _ = grpo_loss(replay.logp_PGT, advantage, inside, token_count)
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
        sums = [g if s is None else s if g is None else s + g for s, g in zip(sums, gradients)]
        total += float(loss.detach())
        gap += float((replay.logp_PGT.detach() - completions.logp_PGT)[inside].abs().sum())
    return {"loss/grpo": total, "rollout/logp_gap": gap / token_count}, sums


def alignment_gradients(
    supervisor: Supervisor,
    pooler: Pooler,
    buffer: Buffer,
    config: TrainingConfig,
    parameters: list[nn.Parameter],
) -> tuple[dict[str, float], list[Tensor | None]]:
    """L_KL over the images of the buffer's pairs and its gradient in φ.

    The teacher of an image is the mean attention over the values that describe it, over the
    completions of its pair whose verdict was right.

    Args:
        supervisor: the frozen model.
        pooler: c_φ.
        buffer: the step's pairs; at most `config.alignment_pairs` of them teach.
        config: temperature, pairs at once.
        parameters: φ.
    """
    teachers, tokens = [], []
    left = config.alignment_pairs or buffer.kept
    for held in buffer.rounds:
        index = torch.arange(len(held.first_P))[:left]
        left -= len(index)
        for chunk in index.split(config.replay_pairs):
            maps, present = _teacher(supervisor, held, chunk, config)
            # A right verdict is a parsed answer, so every contributing pair has its maps.
            chunk = chunk.to(present.device)[present]
            for side, images in ((0, held.first_P), (1, held.second_P)):
                teachers.append(maps[present, side])
                tokens.append(held.micro.leaf.tokens_BND.detach()[images[chunk.cpu()]])
        if left == 0:
            break
    if not teachers or not sum(len(t) for t in teachers):
        return {}, [None] * len(parameters)
    teacher_RAN, tokens_RND = torch.cat(teachers), torch.cat(tokens)
    log_weights_RQN = pooler(tokens_RND).log_weights_BQN
    assert log_weights_RQN is not None, "attention alignment needs an attention pooler"
    teacher_RQN = match_queries(teacher_RAN, log_weights_RQN.shape[1])
    loss, _ = alignment_loss(teacher_RQN, log_weights_RQN, count=teacher_RQN.shape[:2].numel())
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    entropy = -(teacher_RQN * teacher_RQN.clamp_min(1e-9).log()).sum(-1).mean()
    figures = {"loss/kl": float(loss.detach()), "alignment/teacher_entropy": float(entropy)}
    return figures | {"alignment/images": float(len(teacher_RAN))}, list(gradients)


def match_queries(teacher_RAN: Tensor, queries: int) -> Tensor:
    """Teacher maps for a pooler's queries: their mean for one query, attribute by attribute else.

    Raises:
        ValueError: if the pooler has neither one query nor one per attribute.
    """
    if queries == 1:
        return teacher_RAN.mean(1, keepdim=True)
    if queries != teacher_RAN.shape[1]:
        raise ValueError(
            f"a pooler of {queries} queries cannot follow {teacher_RAN.shape[1]} attributes"
        )
    return teacher_RAN


def token_mask(completions: Completions) -> Tensor:
    """True at generated tokens (P, G, T), end token included."""
    T = completions.tokens_PGT.shape[2]
    index_T = torch.arange(T, device=completions.tokens_PGT.device)
    return index_T < completions.lengths_PG[..., None]


@torch.no_grad()
def _teacher(
    supervisor: Supervisor, held: Round, chunk: Tensor, config: TrainingConfig
) -> tuple[Tensor, Tensor]:
    verdicts: Verdicts = held.verdicts
    completions = verdicts.completions.select(chunk)
    tokens = held.micro.leaf.detach()
    replay = supervisor.replay(
        tokens.index(held.first_P[chunk]),
        tokens.index(held.second_P[chunk]),
        completions,
        config.rollout,
        capture=True,
    )
    assert replay.capture is not None
    answers = [verdicts.answers[int(p)] for p in chunk]
    return supervisor.teacher_maps(
        replay.capture, completions, answers, verdicts.rewards_PG[chunk] == 1
    )
