"""Gradients of the supervised terms over the buffer (phase C).

Shapes: P pairs, G group size, T generated tokens, A attributes, Q pooler queries, N image tokens.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from saga.encoders.configuration import PoolerConfig
from saga.encoders.poolers import Pooler
from saga.errors import UserInputError
from saga.losses.alignment import alignment_loss
from saga.losses.grpo import advantages, grpo_loss
from saga.supervisors.prompts import Prompt, load_prompt
from saga.supervisors.replay import Replay
from saga.supervisors.rollout import Completions
from saga.supervisors.supervisor import Supervisor
from saga.training.buffer import Buffer, Round
from saga.training.configuration import TrainingConfig
from saga.training.microbatch import MicroBatch, tensors_of


@dataclass
class Teachers:
    """Where the supervisor looked, of a step's first pairs; filled by whoever replays them."""

    left: int
    """Pairs that may still teach."""
    maps: list[Tensor] = field(default_factory=list)
    """(R, A, N) each, a row an image."""
    tokens: list[Tensor] = field(default_factory=list)
    """The same images' tokens, (R, N, D)."""

    def take(self, supervisor: Supervisor, held: Round, chunk: Tensor, replay: Replay) -> None:
        """Maps of the first pairs of a captured replay, as many as are still wanted.

        The teacher of an image is the mean attention over the values that describe it, over the
        completions of its pair whose verdict was right.
        """
        assert replay.capture is not None
        chunk = chunk[: self.left]
        self.left -= len(chunk)
        verdicts = held.verdicts.select(chunk)
        maps, present = supervisor.teacher_maps(
            replay.capture, verdicts.completions, verdicts.answers, verdicts.rewards_PG == 1
        )
        # A right verdict is a parsed answer, so every contributing pair has its maps.
        chunk = chunk.to(present.device)[present]
        for side, images in ((0, held.first_P), (1, held.second_P)):
            self.maps.append(maps[present, side])
            self.tokens.append(held.micro.leaf.tokens_BND.detach()[images[chunk.cpu()]])


def policy_gradients(
    supervisor: Supervisor,
    held: Round,
    config: TrainingConfig,
    token_count: int,
    teachers: Teachers | None = None,
) -> tuple[dict[str, float], list[Tensor | None]]:
    """L_GRPO's share of one round and its gradient in the round's tokens.

    Args:
        supervisor: the frozen model.
        held: one round's kept pairs.
        config: temperature, advantages, pairs at once.
        token_count: generated tokens of the whole buffer; every round is divided by it, so that
            rounds and chunks add up to one big batch.
        teachers: takes the attention of the same replay, where alignment is to follow.

    Returns:
        figures that add up over rounds, and one gradient per tensor of the tokens.
    """
    leaves = tensors_of(held.micro.leaf)
    sums: list[Tensor | None] = [None] * len(leaves)
    total = gap = 0.0
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
        if teachers is not None and teaches:
            teachers.take(supervisor, held, chunk, replay)
        inside = token_mask(completions)
        advantage = advantage_PG[chunk].to(replay.logp_PGT.device)
        loss, _ = grpo_loss(replay.logp_PGT, advantage, inside, token_count)
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
        sums = _added(sums, gradients)
        total += float(loss.detach())
        gap += float((replay.logp_PGT.detach() - completions.logp_PGT)[inside].abs().sum())
    return {"loss/grpo": total, "rollout/logp_gap": gap / token_count}, sums


def oracle_gradients(
    supervisor: Supervisor,
    micro: MicroBatch,
    answers: Completions,
    config: TrainingConfig,
    token_count: int,
) -> tuple[float, list[Tensor | None]]:
    """Negative log-likelihood of the true answers about a batch's pairs, and its gradient.

    Args:
        supervisor: the frozen model.
        micro: the batch.
        answers: the true answer about each of its pairs, (P, 1, T).
        config: temperature, pairs at once.
        token_count: tokens of the true answers of the whole step.

    Returns:
        this batch's share of the loss, and one gradient per tensor of the tokens.
    """
    leaves = tensors_of(micro.leaf)
    sums: list[Tensor | None] = [None] * len(leaves)
    total = 0.0
    first_P, second_P, _ = micro.pair_tensors()
    for chunk in torch.arange(len(first_P)).split(config.replay_pairs):
        replay = supervisor.replay(
            micro.leaf.index(first_P[chunk]),
            micro.leaf.index(second_P[chunk]),
            answers.select(chunk),
            config.rollout,
        )
        loss = -replay.logp_PGT.sum() / token_count
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
        sums = _added(sums, gradients)
        total += float(loss.detach())
    return total, sums


def alignment_gradients(
    supervisor: Supervisor,
    pooler: Pooler,
    buffer: Buffer,
    config: TrainingConfig,
    parameters: list[nn.Parameter],
    subjects: list[list[int]],
    teachers: Teachers | None = None,
) -> tuple[dict[str, float], list[Tensor | None]]:
    """L_KL over the images of the buffer's pairs and its gradient in φ.

    Args:
        supervisor: the frozen model.
        pooler: c_φ.
        buffer: the step's pairs; at most `config.alignment_pairs` of them teach.
        config: temperature, pairs at once.
        parameters: φ.
        subjects: the attributes that each query of the pooler follows.
        teachers: from the policy's replay; None replays the pairs for their attention alone.
    """
    if teachers is None:
        teachers = _replayed_teachers(supervisor, buffer, config)
    if not teachers.maps or not sum(len(maps) for maps in teachers.maps):
        return {}, [None] * len(parameters)
    teacher_RAN, tokens_RND = torch.cat(teachers.maps), torch.cat(teachers.tokens)
    log_weights_RQN = pooler(tokens_RND).log_weights_BQN
    assert log_weights_RQN is not None, "attention alignment needs an attention pooler"
    teacher_RQN = match_queries(teacher_RAN, subjects)
    loss, _ = alignment_loss(teacher_RQN, log_weights_RQN, count=teacher_RQN.shape[:2].numel())
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    entropy = -(teacher_RQN * teacher_RQN.clamp_min(1e-9).log()).sum(-1).mean()
    figures = {"loss/kl": float(loss.detach()), "alignment/teacher_entropy": float(entropy)}
    return figures | {"alignment/images": float(len(teacher_RAN))}, list(gradients)


def teachers_of(buffer: Buffer, config: TrainingConfig) -> Teachers:
    """Empty; as many pairs may teach as the configuration says."""
    return Teachers(config.alignment_pairs or buffer.kept)


def match_queries(teacher_RAN: Tensor, subjects: list[list[int]]) -> Tensor:
    """Teacher maps (R, Q, N) of a pooler's queries: each the mean over its attributes."""
    return torch.stack([teacher_RAN[:, chosen].mean(1) for chosen in subjects], 1)


def query_subjects(pooler: PoolerConfig, prompt: Prompt) -> list[list[int]]:
    """The attributes, by index, that each query of a pooler follows: all of them for one query.

    Raises:
        UserInputError: if a query's name is neither a group nor an attribute of the prompt.
    """
    everything = {name: (name,) for name in prompt.attributes} | prompt.groups
    if pooler.kind != "attribute":
        return [list(range(len(prompt.attributes)))]
    for name in pooler.queries:
        if name not in everything:
            raise UserInputError(
                f"encoder.pooler.queries: {name} is no attribute and no group of the prompt "
                f"{prompt.name}. Allowed: {', '.join(everything)}."
            )
    return [[prompt.attributes.index(a) for a in everything[name]] for name in pooler.queries]


def with_queries(pooler: PoolerConfig, prompt: str) -> PoolerConfig:
    """The pooler with its queries named: after the prompt's groups or attributes, where it names none.

    Raises:
        UserInputError: if an attribute pooler has no names and the prompt has no attributes.
    """
    if pooler.kind != "attribute" or pooler.queries:
        return pooler
    asked = load_prompt(prompt)
    if not asked.subjects:
        raise UserInputError(
            f"encoder.pooler.kind is attribute, but the prompt {asked.name} asks for no attributes. "
            "Name the queries in encoder.pooler.queries, or set supervisor.prompt to one with "
            "attributes."
        )
    try:
        return replace(pooler, queries=tuple(asked.subjects))
    except ValueError as error:
        raise UserInputError(f"encoder.pooler.{error}.") from error


def token_mask(completions: Completions) -> Tensor:
    """True at generated tokens (P, G, T), end token included."""
    T = completions.tokens_PGT.shape[2]
    index_T = torch.arange(T, device=completions.tokens_PGT.device)
    return index_T < completions.lengths_PG[..., None]


def _added(sums: list[Tensor | None], gradients: Iterable[Tensor | None]) -> list[Tensor | None]:
    """Sums of gradients, where None is nothing."""
    return [g if s is None else s if g is None else s + g for s, g in zip(sums, gradients)]


@torch.no_grad()
def _replayed_teachers(supervisor: Supervisor, buffer: Buffer, config: TrainingConfig) -> Teachers:
    """Of the buffer's first pairs, replayed without gradient."""
    teachers = teachers_of(buffer, config)
    for held in buffer.rounds:
        if teachers.left == 0:
            break
        tokens = held.micro.leaf.detach()
        for chunk in torch.arange(len(held.first_P))[: teachers.left].split(config.replay_pairs):
            replay = supervisor.replay(
                tokens.index(held.first_P[chunk]),
                tokens.index(held.second_P[chunk]),
                held.verdicts.completions.select(chunk),
                config.rollout,
                capture=True,
            )
            teachers.take(supervisor, held, chunk, replay)
    return teachers
