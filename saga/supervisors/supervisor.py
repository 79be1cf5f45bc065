"""The frozen supervisor: asks its question about pairs, reads the verdicts, says where it looked.

Shapes: P pairs, G group size, T generated tokens, A attributes, N image tokens, Q queries.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import accumulate

import torch
from torch import Tensor

from saga.encoders.tower import VisionTokens
from saga.errors import UserInputError
from saga.supervisors.attention import AttentionQueries, LayerCapture, attention_maps
from saga.supervisors.backbone import Backbone, Prefix
from saga.supervisors.checkpoint import Checkpoint, attention_layer
from saga.supervisors.configuration import RolloutConfig, SupervisorConfig
from saga.supervisors.decoding import PieceDecoder
from saga.supervisors.prompts import Prompt
from saga.supervisors.replay import Replay, look_packed, replay_packed
from saga.supervisors.rollout import Completions, roll_out
from saga.supervisors.verdict import ParsedAnswer, Span, parse_answer

Answers = list[list[ParsedAnswer | None]]
Spans = Sequence[Span]
PLACES = 4096
"""Completions whose value tokens are remembered."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What the supervisor said about some pairs."""

    completions: Completions
    answers: Answers
    """Per pair and completion; None where the answer could not be read."""
    rewards_PG: Tensor
    """1 where the verdict equals the truth, else 0; on the CPU."""

    def select(self, pairs: Tensor) -> "Verdicts":
        """Those of some pairs, by index."""
        return Verdicts(
            self.completions.select(pairs.to(self.completions.lengths_PG.device)),
            [self.answers[int(p)] for p in pairs],
            self.rewards_PG[pairs],
        )

    @property
    def parsed_share(self) -> float:
        """Share of completions that could be read."""
        read = [answer is not None for group in self.answers for answer in group]
        return sum(read) / max(1, len(read))


class Supervisor:
    """A checkpoint's frozen language model with one prompt and one image size."""

    def __init__(self, checkpoint: Checkpoint, prompt: Prompt, config: SupervisorConfig) -> None:
        self.backbone: Backbone = checkpoint.backbone
        self.prompt = prompt
        self.config = config
        self.digest = checkpoint.digest
        self.grid = checkpoint.tower.grid(config.image_size)
        self.layer = attention_layer(config, self.backbone.depth)
        self.prefix: Prefix = self.backbone.prefix(prompt.text(), self.grid)
        self._decoder = PieceDecoder(self.backbone.tokenizer)
        unknown = self.backbone.tokenizer.unk_token_id
        if unknown is not None and bool((self.prefix.ids_S == unknown).any()):
            raise UserInputError(
                f"supervisor.prompt: the tokenizer of {config.model} does not know all words of the "
                f"prompt {prompt.name!r}. The embedded supervisor understands only synthetic_birds."
            )
        # One completion text recurs in many rollouts of a small supervisor.
        self._parse = cache(lambda text: parse_answer(prompt, text))
        offsets = self._decoder.offsets
        self._places = lru_cache(PLACES)(
            lambda tokens, *spans: value_places(offsets(list(tokens)), *spans)
        )

    def judge(
        self,
        a: VisionTokens,
        b: VisionTokens,
        same: list[bool],
        config: RolloutConfig,
        seeds: list[int],
    ) -> Verdicts:
        """Sample a group of answers per pair and reward the right verdicts.

        Args:
            a: tokens of the first images, (P, N, D).
            b: tokens of the second images.
            same: whether each pair is of one class.
            config: sampling.
            seeds: one per pair.
        """
        return self.assess(self.sample(a, b, config, seeds), same)

    def sample(
        self, a: VisionTokens, b: VisionTokens, config: RolloutConfig, seeds: list[int]
    ) -> Completions:
        """A group of completions per pair; see `judge`."""
        return roll_out(self.backbone, self.prefix, a, b, config, seeds)

    def assess(self, completions: Completions, same: list[bool]) -> Verdicts:
        """Read completions and reward the right verdicts; see `judge`."""
        answers = self.read(completions)
        rewards = [
            [float(answer is not None and answer.same == truth) for answer in group]
            for group, truth in zip(answers, same)
        ]
        return Verdicts(completions, answers, torch.tensor(rewards))

    def read(self, completions: Completions) -> Answers:
        """Parse every completion; one that never ended is not read at all."""
        self._parse.cache_clear()
        return [
            [
                self._parse(self._decoder.text(tokens[: length - 1])) if ended else None
                for tokens, length, ended in zip(group, lengths, ends)
            ]
            for group, lengths, ends in zip(
                completions.tokens_PGT.tolist(),
                completions.lengths_PG.tolist(),
                completions.ended_PG.tolist(),
            )
        ]

    def replay(
        self,
        a: VisionTokens,
        b: VisionTokens,
        completions: Completions,
        config: RolloutConfig,
        capture: bool = False,
        use_PG: Tensor | None = None,
    ) -> Replay:
        """Re-score completions with gradient into the tokens; see `replay_packed`.

        Args:
            a: tokens of the first images, (P, N, D).
            b: tokens of the second images.
            completions: the groups.
            config: the temperature they were sampled at.
            capture: whether to keep what `teacher_maps` needs.
            use_PG: completions to replay; None takes all. The others score 0.
        """
        return replay_packed(
            self.backbone,
            self.prefix,
            a,
            b,
            completions,
            config.temperature,
            self.layer if capture else None,
            use_PG,
        )

    def look(
        self,
        a: VisionTokens,
        b: VisionTokens,
        completions: Completions,
        use_PG: Tensor | None = None,
    ) -> LayerCapture:
        """What `teacher_maps` needs, where nothing is to be scored; see `look_packed`."""
        return look_packed(self.backbone, self.prefix, a, b, completions, self.layer, use_PG)

    def teacher_maps(
        self, capture: LayerCapture, completions: Completions, answers: Answers, use_PG: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Where the supervisor looked while it described each image of each pair.

        The attention of a value is the mean over its tokens; over the used completions of a pair the
        attributes' maps are averaged, attribute by attribute.

        Args:
            capture: from a replay of the same completions, or a look at them; at least those to use.
            completions: the groups.
            answers: their parsed answers.
            use_PG: completions to use (reward 1); they must have been parsed.

        Returns:
            maps (P, 2, A, N) for the first and second image, rows summing to 1, and a mask (P,) of
            pairs that have any.
        """
        P, A = use_PG.shape[0], len(self.prompt.attributes)
        N = len(self.prefix.slots_a_N)
        rows, weights = self._value_tokens(completions, answers, use_PG)
        device = self.backbone.device
        maps_KN = torch.zeros(P * 2 * A, N, device=device)
        if rows:
            pair, completion, token, second, attribute = torch.tensor(rows, device=device).T
            queries = AttentionQueries(pair, completion, token, second.bool())
            attention_QN = attention_maps(
                self.backbone,
                self.prefix,
                self.layer,
                capture,
                queries,
                self.config.attention_query,
            )
            target = (pair * 2 + second) * A + attribute
            share = torch.tensor(weights, device=device)
            maps_KN.index_add_(0, target, attention_QN * share[:, None])
        maps = maps_KN.view(P, 2, A, N)
        total = maps.sum(-1, keepdim=True)
        return maps / total.clamp_min(1e-12), (total[..., 0] > 0).all(-1).all(-1)

    def _value_tokens(
        self, completions: Completions, answers: Answers, use_PG: Tensor
    ) -> tuple[list[tuple[int, int, int, int, int]], list[float]]:
        """(pair, completion, token, second image?, attribute) of every value token, and its weight."""
        rows: list[tuple[int, int, int, int, int]] = []
        weights: list[float] = []
        tokens, lengths = completions.tokens_PGT.tolist(), completions.lengths_PG.tolist()
        for p, g in use_PG.nonzero().tolist():
            answer = answers[p][g]
            assert answer is not None, "only parsed completions have attribute values"
            said = tuple(tokens[p][g][: lengths[p][g] - 1])
            for place, weight in self._places(said, answer.value_spans_a, answer.value_spans_b):
                rows.append((p, g, *place))
                weights.append(weight)
        return rows, weights


def value_places(
    offsets: Spans, spans_a: Spans, spans_b: Spans
) -> list[tuple[tuple[int, int, int], float]]:
    """(token, second image?, attribute) of every value token of an answer, and its weight.

    The tokens of one value share a weight of 1, so a long value does not count more.

    Args:
        offsets: start and end of each token in the text.
        spans_a: start and end of each attribute's value for the first image.
        spans_b: the same for the second image.
    """
    # Offsets fall where the bytes of a character read as more than the character; a search needs them
    # in order. None is lost: starts only come earlier by that, ends only later.
    starts = list(accumulate((i for i, _ in reversed(offsets)), min))[::-1]
    ends = list(accumulate((j for _, j in offsets), max))
    found = []
    for second, spans in enumerate((spans_a, spans_b)):
        for attribute, (start, end) in enumerate(spans):
            inside = range(bisect_right(ends, start), bisect_left(starts, end))
            found += [((token, second, attribute), 1 / len(inside)) for token in inside]
    return found
