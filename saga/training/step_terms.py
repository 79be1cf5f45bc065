"""The loss terms of one step, over micro-batches and buffer (phases A and C).

L_DML reaches θ, φ and the proxies; L_GRPO reaches θ alone; L_KL reaches φ alone.

Shapes: B images, E embedding width.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from saga.encoders.poolers import Pooler
from saga.losses.base import MetricLoss
from saga.supervisors.supervisor import Supervisor
from saga.supervisors.truth import Values, true_completions
from saga.training.alignment import Teachers, alignment_gradients
from saga.training.buffer import Buffer
from saga.training.configuration import TrainingConfig
from saga.training.diagnosis import embedding_metrics
from saga.training.microbatch import MicroBatch
from saga.training.optimizer import Gradients, Parameters, norm
from saga.training.phases import PhaseClock
from saga.training.ranks import Ranks, within
from saga.training.term import Term, add_gradients
from saga.training.terms import oracle_gradients, policy_gradients


@dataclass
class StepTerms:
    """Makes each term of a step from what was gathered."""

    settings: TrainingConfig
    parameters: Parameters
    pooler: Pooler
    metric_loss: MetricLoss
    supervisor: Supervisor | None
    subjects: list[list[int]]
    """The attributes that each query of the pooler follows."""
    autocast: Callable[[], AbstractContextManager[object]]
    clock: PhaseClock
    ranks: Ranks

    def of(
        self,
        micros: list[MicroBatch],
        buffer: Buffer,
        true_pairs: Callable[[MicroBatch], list[tuple[Values, Values]]],
    ) -> list[Term]:
        """All terms that have a weight, in the order of METHOD section 3.

        Args:
            micros: the step's micro-batches.
            buffer: its contributing pairs.
            true_pairs: true values of both images of each of a batch's pairs.
        """
        terms = [self.metric(micros)]
        if self.supervisor is None:
            return terms
        weights = self.settings.weights
        teachers = None
        if weights.kl and weights.grpo:
            teachers = Teachers(buffer.share(self.ranks, self.settings.alignment_pairs)[1])
        policy = self.policy(buffer, micros, teachers)
        return [*terms, policy, self.alignment(buffer, teachers), self.oracle(micros, true_pairs)]

    def metric(self, micros: list[MicroBatch]) -> Term:
        """L_DML over each micro-batch, averaged; θ, φ and proxies."""
        weight, scale = self.settings.weights.dml, 1 / len(micros)
        losses: list[float] = []
        figures: dict[str, float] = {}
        tokens: dict[int, Gradients] = {}
        head: Gradients = [None] * len(self.parameters.head)
        with self.clock("dml"):
            for place, micro in enumerate(micros):
                embeddings_BE = self._embeddings(micro)
                figures = embedding_metrics(embeddings_BE.detach(), micro.labels_B)
                if weight == 0:
                    continue
                with self.autocast():
                    loss, _ = self.metric_loss(embeddings_BE, micro.labels_B)
                losses.append(float(loss.detach()))
                grads = torch.autograd.grad(
                    loss, [micro.leaf.tokens_BND, *self.parameters.head], allow_unused=True
                )
                nothing: Gradients = [None] * len(micro.leaf.deepstack)
                tokens[place] = add_gradients(
                    [None] * (1 + len(nothing)), [grads[0], *nothing], scale
                )
                head = add_gradients(head, grads[1:], scale)
            if not losses:
                return Term("dml", metrics=figures)
            head = self._head_of_all(head)
        of_pooler = head[: len(self.parameters.pooler)]
        figures |= {"loss/dml": float(np.mean(losses)), "gradient/phi_dml": norm(of_pooler)}
        return Term("dml", weight, figures, tokens, head, taught=True)

    def policy(
        self, buffer: Buffer, micros: list[MicroBatch], teachers: Teachers | None = None
    ) -> Term:
        """L_GRPO over all kept completions, its reference term included; θ alone.

        The same replay shows where to look.
        """
        weight = self.settings.weights.grpo
        if weight == 0 or not buffer.kept:
            return Term("grpo")
        assert self.supervisor is not None
        tokens: dict[int, Gradients] = {}
        totals = dict.fromkeys(["loss/grpo", "rollout/logp_gap"], 0.0)
        if self.settings.reference_beta:
            totals["loss/reference"] = 0.0
        places = {id(micro): place for place, micro in enumerate(micros)}
        rounds, _ = buffer.share(self.ranks)
        with self.clock("replay"):
            for held in rounds:
                with self.autocast():
                    part, gradients = policy_gradients(
                        self.supervisor, held, self.settings, buffer.tokens, teachers, self.clock
                    )
                tokens[places[id(held.micro)]] = gradients
                totals = {name: value + part[name] for name, value in totals.items()}
            figures = self.ranks.total_of(totals)
        return Term("grpo", weight, figures, tokens, taught=True)

    def alignment(self, buffer: Buffer, teachers: Teachers | None) -> Term:
        """L_KL on the kept pairs' right completions; φ alone."""
        weight = self.settings.weights.kl
        if weight == 0 or not buffer.kept:
            return Term("kl")
        assert self.supervisor is not None
        with self.clock("attention"), self.autocast():
            figures, gradients = alignment_gradients(
                self.supervisor,
                self.pooler,
                buffer,
                self.settings,
                self.parameters.pooler,
                self.subjects,
                teachers,
                self.ranks,
            )
        if not figures:
            return Term("kl")
        figures["gradient/phi_kl"] = norm(gradients)
        head = [*gradients, *[None] * len(self.parameters.proxies)]
        return Term("kl", weight, figures, head=head, taught=True)

    def oracle(
        self,
        micros: list[MicroBatch],
        true_pairs: Callable[[MicroBatch], list[tuple[Values, Values]]],
    ) -> Term:
        """Likelihood of the true descriptions of all pairs; θ alone. The study's ceiling."""
        weight = self.settings.weights.oracle
        usable = [(i, micro) for i, micro in enumerate(micros) if micro.pairs and micro.finite]
        if weight == 0 or not usable:
            return Term("oracle")
        assert self.supervisor is not None
        tokenizer, prompt = self.supervisor.backbone.tokenizer, self.supervisor.prompt
        answers = [true_completions(tokenizer, prompt, true_pairs(m)) for _, m in usable]
        lengths = [int(n) for of_micro in answers for n in of_micro.lengths_PG.sum(1)]
        count, total, tokens = sum(lengths), 0.0, {}
        own = self.ranks.balanced([len(self.supervisor.prefix) + n for n in lengths])
        with self.clock("replay"):
            of_parts = within(own, [len(micro.pairs) for _, micro in usable])
            for (place, micro), of_micro, mine in zip(usable, answers, of_parts):
                with self.autocast():
                    part, tokens[place] = oracle_gradients(
                        self.supervisor, micro, of_micro, self.settings, count, mine
                    )
                total += part
            figures = self.ranks.total_of({"loss/oracle": total})
        return Term("oracle", weight, figures, tokens, taught=True)

    def _embeddings(self, micro: MicroBatch) -> Tensor:
        """Of the whole batch (B, E); gradient reaches this rank's images and the pooler."""
        with self.autocast():
            own_BE = self.pooler(micro.leaf.tokens_BND[micro.own]).embedding_BE
        if self.ranks.world == 1:
            return own_BE
        B = len(micro.labels_B)
        whole_BE = self.ranks.whole(own_BE.detach(), micro.own, B)
        places = torch.arange(B, device=own_BE.device)[micro.own]
        return whole_BE.index_copy(0, places, own_BE)

    def _head_of_all(self, head: Gradients) -> Gradients:
        """Over ranks: each pooled its own images, and all moved the same proxies."""
        pooler = len(self.parameters.pooler)
        shared = [None if g is None else g / self.ranks.world for g in head[pooler:]]
        return self.ranks.total([*head[:pooler], *shared], self.parameters.head)
