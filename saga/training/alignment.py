"""Attention alignment over a step's buffer: where the supervisor looked teaches the pooler (phase C).

Shapes: P pairs, G group size, A attributes, Q pooler queries, N image tokens, R images, D width.
"""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from saga.encoders.configuration import PoolerConfig
from saga.encoders.poolers import Pooler
from saga.errors import UserInputError
from saga.losses.alignment import alignment_loss
from saga.supervisors.attention import LayerCapture
from saga.supervisors.prompts import Prompt, load_prompt
from saga.supervisors.supervisor import Supervisor
from saga.training.buffer import Buffer, Round
from saga.training.configuration import TrainingConfig
from saga.training.optimizer import Gradients
from saga.training.ranks import ALONE, Ranks


@dataclass
class Teachers:
    """Where the supervisor looked, of a step's first pairs; filled by whoever replays them."""

    left: int
    """Pairs that may still teach."""
    maps: list[Tensor] = field(default_factory=list)
    """(R, A, N) each, a row an image."""
    tokens: list[Tensor] = field(default_factory=list)
    """The same images' tokens, (R, N, D)."""

    def take(
        self, supervisor: Supervisor, held: Round, chunk: Tensor, capture: LayerCapture
    ) -> None:
        """Maps of the first pairs of a replay, as many as are still wanted.

        The teacher of an image is the mean attention over the values that describe it, over the
        completions of its pair whose verdict was right.
        """
        chunk = chunk[: self.left]
        self.left -= len(chunk)
        verdicts = held.verdicts.select(chunk)
        maps, present = supervisor.teacher_maps(
            capture, verdicts.completions, verdicts.answers, verdicts.rewards_PG == 1
        )
        # A right verdict is a parsed answer, so every contributing pair has its maps.
        chunk = chunk.to(present.device)[present]
        for side, images in ((0, held.first_P), (1, held.second_P)):
            self.maps.append(maps[present, side])
            self.tokens.append(held.micro.leaf.tokens_BND.detach()[images[chunk.cpu()]])


def alignment_gradients(
    supervisor: Supervisor,
    pooler: Pooler,
    buffer: Buffer,
    config: TrainingConfig,
    parameters: list[nn.Parameter],
    subjects: list[list[int]],
    teachers: Teachers | None = None,
    ranks: Ranks = ALONE,
) -> tuple[dict[str, float], Gradients]:
    """L_KL over the images of the buffer's pairs and its gradient in φ.

    Args:
        supervisor: the frozen model.
        pooler: c_φ.
        buffer: the step's pairs; at most `config.alignment_pairs` of them teach.
        config: temperature, pairs at once.
        parameters: φ.
        subjects: the attributes that each query of the pooler follows.
        teachers: from the policy's replay; None replays the pairs for their attention alone.
        ranks: over whose pairs the loss is a mean; gradients are summed over them.
    """
    if teachers is None:
        teachers = _replayed_teachers(supervisor, buffer, config, ranks)
    rows = sum(len(maps) for maps in teachers.maps)
    images = int(ranks.total_of({"rows": float(rows)})["rows"])
    if not images:
        return {}, [None] * len(parameters)
    figures = dict.fromkeys(("loss/kl", "alignment/teacher_entropy", "alignment/images"), 0.0)
    gradients: Gradients = [None] * len(parameters)
    if rows:
        teacher_RAN, tokens_RND = torch.cat(teachers.maps), torch.cat(teachers.tokens)
        log_weights_RQN = pooler(tokens_RND).log_weights_BQN
        assert log_weights_RQN is not None, "attention alignment needs an attention pooler"
        teacher_RQN = match_queries(teacher_RAN, subjects)
        count = images * teacher_RQN.shape[1]
        loss, _ = alignment_loss(teacher_RQN, log_weights_RQN, count=count)
        gradients = list(torch.autograd.grad(loss, parameters, allow_unused=True))
        entropy = -(teacher_RQN * teacher_RQN.clamp_min(1e-9).log()).sum() / count
        figures = {"loss/kl": float(loss.detach()), "alignment/teacher_entropy": float(entropy)}
        figures["alignment/images"] = float(rows)
    return ranks.total_of(figures), ranks.total(gradients, parameters)


def teachers_of(buffer: Buffer, config: TrainingConfig, ranks: Ranks = ALONE) -> Teachers:
    """Empty; as many of this rank's pairs may teach as the configuration says of all."""
    return Teachers(buffer.share(ranks, config.alignment_pairs)[1])


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


@torch.no_grad()
def _replayed_teachers(
    supervisor: Supervisor, buffer: Buffer, config: TrainingConfig, ranks: Ranks
) -> Teachers:
    """Of the buffer's first pairs: their right completions, up to the layer that teaches."""
    rounds = buffer.share_of_first(ranks, config.alignment_pairs)
    teachers = Teachers(sum(len(held.first_P) for held in rounds))
    for held in rounds:
        tokens = held.micro.leaf.detach()
        for chunk in torch.arange(len(held.first_P)).split(config.replay_pairs):
            verdicts = held.verdicts.select(chunk)
            capture = supervisor.look(
                tokens.index(held.first_P[chunk]),
                tokens.index(held.second_P[chunk]),
                verdicts.completions,
                verdicts.rewards_PG == 1,
            )
            teachers.take(supervisor, held, chunk, capture)
    return teachers
