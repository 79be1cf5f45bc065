"""Phases A and B of a step: micro-batches through the tower, and rollouts until K pairs contribute.

The pairs that a refill is expected to need are rolled out in the same decode batch as the first ones
(`training.refill: ahead`): on a GPU more rows cost little and another round costs as much as the
first. How many batches to draw at once follows from the share of pairs that contributed in the last
steps. What was drawn and turned out not to be needed goes back to the sampler, so that the buffer holds
exactly what one round after the other would have put there.

Over several ranks each encodes its block of every batch and rolls out its part of the pairs, so that
all are expected to decode about as many tokens; tokens, completions and therefore the buffer are the
same on all.

Shapes: P pairs, G group size, T generated tokens, N image tokens, D width.
"""

import hashlib
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import groupby
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saga.data.augment import augment
from saga.encoders.tower import VisionTokens
from saga.losses.grpo import contributing_pairs
from saga.mining.disagreement import Choice, PairChooser
from saga.supervisors.rollout import Completions
from saga.supervisors.supervisor import Supervisor
from saga.supervisors.truth import Values, description_accuracy
from saga.training.buffer import Buffer
from saga.training.configuration import TrainingConfig
from saga.training.graphs import GraphBudget
from saga.training.lengths import ExpectedLengths
from saga.training.microbatch import MicroBatch, leaf_of
from saga.training.phases import PhaseClock
from saga.training.ranks import Ranks
from saga.training.reading import Reading, read_own

FIRST_SHARE = 0.5
"""Share of contributing pairs that is expected before there is any experience."""


class Batches(Protocol):
    """Where batches come from."""

    def next_batch(self) -> tuple[list[int], list[tuple[int, int, bool]]]:
        """Rows of a batch, and pairs as positions in it."""
        ...

    def rewind(self, count: int) -> None:
        """Take back the last `count` batches; they will be given out again."""
        ...


@dataclass
class Gatherer:
    """Makes the micro-batches and the buffer of one step after another."""

    settings: TrainingConfig
    batches: Batches
    pixels: Callable[[list[int]], Tensor]
    """Normalised pixels (B, 3, S, S) of some training rows."""
    graphs: GraphBudget
    labels: Tensor
    """Class index of every training row."""
    device: torch.device
    trains_encoder: bool
    supervisor: Supervisor | None
    truth: list[Values]
    """True attribute values of every training row; empty where they are not known."""
    autocast: Callable[[], AbstractContextManager[object]]
    clock: PhaseClock
    ranks: Ranks
    chooser: PairChooser
    embed: Callable[[Tensor], Tensor]
    """Embeddings (B, E) of tokens (B, N, D)."""
    reference: nn.Module | None = None
    """The untrained tower, where the policy is held to it."""
    lengths: ExpectedLengths = field(default_factory=ExpectedLengths)

    def gather(self, step: int, contributing: float | None) -> tuple[list[MicroBatch], Buffer]:
        """Micro-batches, rolled out until the buffer is full or tries run out.

        Args:
            step: steps done, which seeds what is drawn.
            contributing: share of pairs that contributed lately; None where nothing is known.
        """
        self.graphs.begin()
        prompt = 0 if self.supervisor is None else len(self.supervisor.prefix)
        buffer = Buffer(self.settings.contributing_pairs, prompt)
        micros: list[MicroBatch] = []
        judged = self.settings.weights.judged
        rounds = self.settings.max_rounds if judged else 1
        judged_now: list[tuple[MicroBatch, Tensor]] = []
        while len(micros) < rounds and not (micros and buffer.full):
            share = FIRST_SHARE if contributing is None else contributing
            at_once = min(self._wanted(buffer, share), rounds - len(micros)) if judged else 1
            drawn = [self._encode(step, len(micros) + i) for i in range(at_once)]
            readings = self._judge(step, drawn, len(micros)) if judged else [None]
            for done, (micro, reading) in enumerate(zip(drawn, readings)):
                if micros and buffer.full:
                    self._give_back(drawn[done:], buffer)
                    break
                micros.append(micro)
                if reading is not None:
                    self._add(buffer, micro, reading)
                    judged_now.append((micro, contributing_pairs(reading.verdicts.rewards_PG)))
        self._learn(judged_now, buffer)
        return micros, buffer

    def true_pairs(self, micro: MicroBatch) -> list[tuple[Values, Values]]:
        """True values of both images of each of a batch's pairs."""
        return [(self.truth[micro.rows[a]], self.truth[micro.rows[b]]) for a, b, _ in micro.pairs]

    def _wanted(self, buffer: Buffer, share: float) -> int:
        """Batches that are expected to fill the buffer."""
        if self.settings.refill == "after":
            return 1
        missing = buffer.capacity - buffer.kept
        return max(1, math.ceil(missing / max(share * self.settings.pairs_per_round, 1e-6)))

    def _encode(self, step: int, number: int) -> MicroBatch:
        """The next batch, this rank's block of it with its graph."""
        rows, pairs = self.batches.next_batch()
        own = self.ranks.block(len(rows))
        with self.clock("data"):
            pixels = self.pixels(rows[own])
        with self.clock("tower"):
            pixels = augment(
                pixels,
                [self.settings.seed, 6, step, number],
                flip=self.settings.flip,
                crop_scale=self.settings.crop_scale,
                jitter=self.settings.jitter,
                place=(own.start, len(rows)),
            ).to(self.device)
            with self.autocast(), torch.set_grad_enabled(self.trains_encoder):
                tokens = self.graphs.encode(pixels)
            leaf = leaf_of(self._whole(tokens.detach(), own, len(rows)))
            reference = None
            if self.reference is not None:
                with self.autocast(), torch.no_grad():
                    reference = self._whole(self.reference(pixels), own, len(rows))
        labels = self.labels[rows].to(self.device)
        choice = None
        if self.chooser.predicts and pairs:
            choice = self._choose(leaf, rows, pairs, [self.settings.seed, 8, step, number])
            pairs = [pairs[place] for place in choice.places]
        return MicroBatch(tokens, leaf, labels, pairs, rows, choice, own, reference)

    @torch.no_grad()
    def _choose(
        self,
        leaf: VisionTokens,
        rows: list[int],
        pairs: list[tuple[int, int, bool]],
        seed: list[int],
    ) -> Choice:
        """Those of a batch's pairs that are to be rolled out."""
        with self.autocast():
            embeddings_BE = self.embed(leaf.tokens_BND.detach()).float()
        first, second, _ = zip(*pairs)
        cosine = (embeddings_BE[list(first)] * embeddings_BE[list(second)]).sum(1)
        similarity = self.ranks.from_first(cosine).double().cpu().numpy()
        of_rows = [(rows[a], rows[b], same) for a, b, same in pairs]
        return self.chooser.choose(of_rows, similarity, self.settings.pairs_per_round, seed)

    def _learn(self, judged: list[tuple[MicroBatch, Tensor]], buffer: Buffer) -> None:
        """What became of the pairs; once a step, so that it does not matter how they were batched."""
        for micro, contributed_P in judged:
            if micro.choice is None:
                continue
            of_rows = [(micro.rows[a], micro.rows[b], same) for a, b, same in micro.pairs]
            outcomes = contributed_P.tolist()
            self.chooser.learn(of_rows, micro.choice.features, outcomes)
            buffer.choices.append((micro.choice, outcomes))

    def _whole(self, tokens: VisionTokens, own: slice, n: int) -> VisionTokens:
        """Tokens of the whole batch."""
        whole = [
            self.ranks.whole(x.float(), own, n) for x in (tokens.tokens_BND, *tokens.deepstack)
        ]
        return VisionTokens(whole[0], tuple(whole[1:]))

    def _judge(self, step: int, micros: list[MicroBatch], number: int) -> list[Reading | None]:
        """What is said about the pairs of some micro-batches, which are rolled out together."""
        assert self.supervisor is not None
        # Of tokens that are no numbers nothing can be sampled; the step will say so.
        usable = [(i, m) for i, m in enumerate(micros) if m.pairs and m.finite]
        readings: list[Reading | None] = [None] * len(micros)
        if not usable:
            return readings
        places = [(i, p) for i, m in usable for p in range(len(m.pairs))]
        pairs = [(m.rows[a], m.rows[b], same) for _, m in usable for a, b, same in m.pairs]
        mine = self.ranks.balanced(self._expected_tokens(pairs))
        with self.clock("rollout"):
            own = self._sample(step, micros, number, [places[k] for k in mine])
            completions = self._of_all(own, mine, len(places))
            self.lengths.learn(pairs, completions.lengths_PG.float().mean(1).tolist())
            same = [same for *_, same in pairs]
            reading = read_own(self.supervisor, own, completions, same, mine, self.ranks)
            start = 0
            for i, micro in usable:
                chosen = torch.arange(start, start + len(micro.pairs))
                start += len(micro.pairs)
                readings[i] = reading.select(chosen)
        return readings

    def _sample(
        self, step: int, micros: list[MicroBatch], number: int, places: list[tuple[int, int]]
    ) -> Completions:
        """Completions of some pairs, given as (micro-batch, pair)."""
        assert self.supervisor is not None
        if not places:
            return _nothing(self.settings.rollout.group_size, self.device)
        sides: tuple[list[VisionTokens], list[VisionTokens]] = [], []
        for i, of_micro in groupby(places, key=lambda place: place[0]):
            tokens, pairs = micros[i].leaf.detach(), [micros[i].pairs[p] for _, p in of_micro]
            for side in (0, 1):
                sides[side].append(tokens.index([pair[side] for pair in pairs]))
        seeds = [self._seed(step, number + i, p) for i, p in places]
        with self.autocast():
            return self.supervisor.sample(
                _stacked(sides[0]), _stacked(sides[1]), self.settings.rollout, seeds
            )

    def _expected_tokens(self, pairs: list[tuple[int, int, bool]]) -> list[float]:
        """That each pair's prompt and group take; its images are given by training row."""
        assert self.supervisor is not None
        prompt, G = len(self.supervisor.prefix), self.settings.rollout.group_size
        return [prompt + G * self.lengths.of(*pair) for pair in pairs]

    def _of_all(self, own: Completions, rows: list[int], n: int) -> Completions:
        """Completions of all ranks' pairs, in order."""
        if self.ranks.world == 1:
            return own
        T = self.ranks.most(own.tokens_PGT.shape[2])
        missing = T - own.tokens_PGT.shape[2]
        return Completions(
            self.ranks.whole(F.pad(own.tokens_PGT, (0, missing)), rows, n),
            self.ranks.whole(own.lengths_PG, rows, n),
            self.ranks.whole(own.ended_PG.long(), rows, n).bool(),
            self.ranks.whole(F.pad(own.logp_PGT, (0, missing)), rows, n),
        )

    def _add(self, buffer: Buffer, micro: MicroBatch, reading: Reading) -> None:
        buffer.add(micro, reading.verdicts, reading.parsed_PG)
        if self.truth:
            found = description_accuracy(reading.verdicts.answers, self.true_pairs(micro))
            buffer.accuracy.append(found)

    def _give_back(self, unused: list[MicroBatch], buffer: Buffer) -> None:
        self.batches.rewind(len(unused))
        buffer.discarded += sum(len(micro.pairs) for micro in unused)

    def _seed(self, step: int, number: int, pair: int) -> int:
        """Seed of one pair's rollouts: depends on the run's seed, step, round and pair alone."""
        text = f"{self.settings.seed}/{step}/{number}/{pair}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


def _stacked(parts: list[VisionTokens]) -> VisionTokens:
    """Tokens one after the other."""
    levels = zip(*(part.deepstack for part in parts))
    return VisionTokens(
        torch.cat([part.tokens_BND for part in parts]), tuple(torch.cat(level) for level in levels)
    )


def _nothing(G: int, device: torch.device) -> Completions:
    """Of a rank that has no pair."""
    empty = torch.zeros(0, G, dtype=torch.long, device=device)
    return Completions(
        empty[..., None][..., :0], empty, empty.bool(), torch.zeros(0, G, 0, device=device)
    )
