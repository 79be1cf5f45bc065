"""A SAGA step as an obvious implementation does it, with the public parts of transformers alone.

For each pair `generate(num_return_sequences=G)`; for each completion of a contributing pair one forward and
backward of its own through the whole model, tower included, with full logits and `output_attentions`
under eager attention; L_DML on a tower forward of its own; one optimizer step. The losses are those of the
method: with the same completions the gradients are those of the trainer, which `equal` measures.

Where it could have been done worse, the better way is taken: sampling runs with fused attention, only
the replays are eager; images are in memory; pairs that do not contribute are not replayed; alignment reuses
the tokens that L_DML computed.

Shapes: P pairs, G group size, T generated tokens, S sequence, A attributes, N image tokens.
"""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.naive_model import Asked, plain_model
from saga.losses.alignment import alignment_loss
from saga.losses.grpo import advantages
from saga.supervisors.rollout import Completions, banned_tokens
from saga.supervisors.supervisor import Verdicts
from saga.training.optimizer import Parameters, build_optimizer, clip
from saga.training.phases import PhaseClock
from saga.training.trainer import Trainer


@dataclass(frozen=True, slots=True)
class Step:
    """What one step works on: the same for both ways."""

    pixels_B3SS: Tensor
    labels_B: Tensor
    pairs: list[tuple[int, int, bool]]
    """All pairs that are rolled out."""
    kept: list[tuple[int, int]]
    """First and second image of the pairs that are replayed."""
    verdicts: Verdicts
    """Of the kept pairs."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds by phase: of what is done once a step, for every pair, and for every replayed pair."""

    once: dict[str, float]
    rolled: dict[str, float]
    replayed: dict[str, float]
    generated: int
    """Tokens sampled."""


class NaiveStep:
    """Weights and optimizer of the naive way; starts as a copy of a trainer's."""

    def __init__(self, trainer: Trainer, decoder: Any) -> None:
        """Copy what is trained, share what is frozen.

        Args:
            trainer: ours.
            decoder: tells which tokens are part of a value (`offsets`).
        """
        assert trainer.supervisor is not None
        self.supervisor, self.settings = trainer.supervisor, trainer.settings
        self.backbone, self.decoder = trainer.supervisor.backbone, decoder
        self.autocast = trainer._autocast
        self.clock = PhaseClock()
        model = plain_model(self.backbone, trainer.tower)
        self.asked = Asked(model, self.backbone, trainer.tower, self.clock)
        self.pooler = copy.deepcopy(trainer.pooler)
        self.metric_loss = copy.deepcopy(trainer.metric_loss)
        self.parameters = Parameters(
            list(model.model.visual.parameters()),
            list(self.pooler.parameters()),
            list(self.metric_loss.proxy_parameters()),
        )
        self.optimizer = build_optimizer(self.parameters, self.settings.optimizer)

    def step(self, step: Step, lengths_PG: Tensor | None = None) -> Spent:
        """One optimizer step.

        Args:
            step: batch, pairs, and the completions to replay.
            lengths_PG: exact lengths of what is sampled.
        """
        self.clock.reset()
        self.optimizer.zero_grad(set_to_none=True)
        tokens_BND = self.metric(step)
        once = self._taken()
        generated = self.roll_out(step, lengths_PG)
        rolled = self._taken()
        if step.kept:
            _, teachers = self.replay(step)
            self.align(step, tokens_BND, teachers)
        replayed = self._taken()
        with self.clock("optimizer"):
            clip(self.parameters, self.settings.optimizer)
            self.optimizer.step()
        for phase, seconds in self._taken().items():
            once[phase] = once.get(phase, 0.0) + seconds
        return Spent(once, rolled, replayed, generated)

    def metric(self, step: Step) -> Tensor:
        """L_DML and its backward; returns the tokens (B, N, D)."""
        with self.clock("dml"):
            with self.autocast():
                tokens_BND = self.asked.tokens(step.pixels_B3SS, self.supervisor.grid)
                embedding_BE = self.pooler(tokens_BND).embedding_BE
                loss, _ = self.metric_loss(embedding_BE, step.labels_B)
            self.asked.backward(self.settings.weights.dml * loss)
        return tokens_BND.detach().float()

    def roll_out(self, step: Step, lengths_PG: Tensor | None = None) -> int:
        """Sample and read G completions of each pair, one pair after the other."""
        prefix, generated = self.supervisor.prefix, 0
        for p, (first, second, _) in enumerate(step.pairs):
            with self.clock("rollout"), self.autocast():
                inputs = self.asked.about(
                    prefix.ids_S, step.pixels_B3SS[[first, second]], self.supervisor.grid
                )
                forced = None if lengths_PG is None else lengths_PG[p]
                tokens_GT = self.asked.generate(prefix, inputs, self.settings.rollout, forced)
                found = completions_of(tokens_GT, self.backbone.end_token_ids)
                self.supervisor.read(found)
            generated += int(found.lengths_PG.sum())
        return generated

    def replay(self, step: Step) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
        """L_GRPO and its backward, one completion at a time.

        Returns:
            log-probabilities (T,) of every completion of every pair, and of every pair the teacher
            maps (A, N) of both images.
        """
        completions, rewards_PG = step.verdicts.completions, step.verdicts.rewards_PG
        count = int(completions.lengths_PG.sum())
        advantage_PG = advantages(rewards_PG, self.settings.standardise).tolist()
        scores: list[list[Tensor]] = []
        teachers = []
        for p, (first, second) in enumerate(step.kept):
            pixels, maps, scored = step.pixels_B3SS[[first, second]], [], []
            for g, advantage in enumerate(advantage_PG[p]):
                ids_T = completions.tokens_PGT[p, g, : int(completions.lengths_PG[p, g])]
                with self.clock("replay"):
                    logp_T, weights_SS = self._forward(ids_T, pixels)
                    loss = -advantage * logp_T.sum() / count
                    self.asked.backward(self.settings.weights.grpo * loss)
                scored.append(logp_T.detach())
                if rewards_PG[p, g] == 1:
                    with self.clock("attention"):
                        maps.append(self._maps(weights_SS, ids_T, step.verdicts.answers[p][g]))
            scores.append(scored)
            teachers.append(list(torch.stack(maps).mean(0)))
        return scores, teachers

    def align(self, step: Step, tokens_BND: Tensor, teachers: list[list[Tensor]]) -> None:
        """L_KL and its backward, over all images of the kept pairs."""
        with self.clock("attention"):
            images = [image for pair in step.kept for image in pair]
            teacher_RAN = torch.stack([teacher for pair in teachers for teacher in pair])
            with self.autocast():
                log_weights_RQN = self.pooler(tokens_BND[images]).log_weights_BQN
            assert log_weights_RQN is not None and log_weights_RQN.shape[1] == 1
            teacher_R1N = teacher_RAN.mean(1, keepdim=True)
            loss, _ = alignment_loss(teacher_R1N, log_weights_RQN, count=len(images))
            (self.settings.weights.kl * loss).backward()

    def _forward(self, ids_T: Tensor, pixels_23SS: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities (T,) of one completion and the teaching layer's attention (S, S)."""
        prefix = self.supervisor.prefix
        ids_S = torch.cat([prefix.ids_S, ids_T[:-1]])
        inputs = self.asked.about(ids_S, pixels_23SS, self.supervisor.grid)
        self.asked.model.model.rope_deltas = None
        with self.asked.eager(), self.autocast():
            out = self.asked.model(**inputs, output_attentions=True, use_cache=False)
        logits_TV = out.logits[0].float()[len(prefix) - 1 :] / self.settings.rollout.temperature
        banned = torch.zeros_like(logits_TV[0], dtype=torch.bool)
        banned[banned_tokens(self.backbone)] = True
        logp_TV = logits_TV.masked_fill(banned, -torch.inf).log_softmax(-1)
        weights_SS = out.attentions[self.supervisor.layer][0].detach().float().mean(0)
        return logp_TV.gather(1, ids_T[:, None])[:, 0], weights_SS

    def _maps(self, weights_SS: Tensor, ids_T: Tensor, answer: Any) -> Tensor:
        """Teacher maps (2, A, N): for each value the mean over its tokens' predicting positions."""
        prefix = self.supervisor.prefix
        offsets = self.decoder.offsets(ids_T[:-1].tolist())
        sides = []
        for slots, spans in (
            (prefix.slots_a_N, answer.value_spans_a),
            (prefix.slots_b_N, answer.value_spans_b),
        ):
            maps = []
            for start, end in spans:
                inside = [t for t, (i, j) in enumerate(offsets) if i < end and j > start]
                rows = weights_SS[torch.tensor(inside) + len(prefix) - 1][:, slots]
                maps.append((rows / rows.sum(1, keepdim=True)).mean(0))
            sides.append(torch.stack(maps))
        return torch.stack(sides)

    def _taken(self) -> dict[str, float]:
        """Seconds by phase since the last call."""
        seconds = dict(self.clock.seconds)
        self.clock.reset()
        return seconds


def completions_of(tokens_GT: Tensor, ends: tuple[int, ...]) -> Completions:
    """One group as transformers gives it: what follows the first end token is padding."""
    ended_GT = torch.isin(tokens_GT, torch.tensor(ends, device=tokens_GT.device))
    ended_G = ended_GT.any(1)
    T = tokens_GT.shape[1]
    lengths_G = torch.where(ended_G, ended_GT.int().argmax(1) + 1, T)
    logp = torch.zeros(tokens_GT.shape, device=tokens_GT.device)
    return Completions(tokens_GT[None], lengths_G[None], ended_G[None], logp[None])
