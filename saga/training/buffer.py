"""The DAPO buffer: rounds of rollouts until K pairs contribute (METHOD section 3, L_GRPO).

It lives within one optimizer step. What it holds was sampled from the encoder as it is now, so the
policy gradient stays on-policy; nothing is carried over to the next step.

Shapes: P pairs, G group size, T generated tokens.
"""

import statistics
from dataclasses import dataclass, field

import torch
from torch import Tensor

from saga.losses.grpo import contributing_pairs
from saga.mining.disagreement import Choice
from saga.supervisors.supervisor import Verdicts
from saga.training.microbatch import MicroBatch
from saga.training.ranks import Ranks, within


@dataclass(frozen=True, slots=True)
class Round:
    """One micro-batch's rollouts and the pairs of it that were kept."""

    micro: MicroBatch
    first_P: Tensor
    """Index of each kept pair's first image in the micro-batch."""
    second_P: Tensor
    verdicts: Verdicts
    """Of the kept pairs."""

    def select(self, pairs: Tensor) -> "Round":
        """Some of its pairs, by index."""
        chosen = self.verdicts.select(pairs)
        return Round(self.micro, self.first_P[pairs], self.second_P[pairs], chosen)


@dataclass
class Buffer:
    """Contributing pairs of one step."""

    capacity: int
    prompt: int = 0
    """Tokens of a prompt, which is replayed once a pair."""
    rounds: list[Round] = field(default_factory=list)
    seen: int = 0
    contributing: int = 0
    rewards: list[float] = field(default_factory=list)
    parsed: list[float] = field(default_factory=list)
    lengths: list[float] = field(default_factory=list)
    right_same: list[float] = field(default_factory=list)
    right_different: list[float] = field(default_factory=list)
    choices: list[tuple[Choice, list[bool]]] = field(default_factory=list)
    """How each round's pairs were chosen, and which of them contributed."""
    discarded: int = 0
    """Pairs that were rolled out ahead and not needed."""
    accuracy: list[dict[str, float]] = field(default_factory=list)
    """Of each round's descriptions, by attribute; empty where the true values are not known."""

    @property
    def kept(self) -> int:
        """Pairs held."""
        return sum(len(r.first_P) for r in self.rounds)

    @property
    def full(self) -> bool:
        """Whether K pairs are held."""
        return self.kept >= self.capacity

    @property
    def tokens(self) -> int:
        """Generated tokens of all held completions: what L_GRPO is normalised by."""
        return sum(int(r.verdicts.completions.lengths_PG.sum()) for r in self.rounds)

    def share(self, ranks: Ranks, first: int | None = None) -> tuple[list[Round], int]:
        """A rank's part of the held pairs, so that all have about as many tokens to replay.

        Args:
            ranks: which rank, of how many.
            first: pairs that matter most (those that teach attention): the first ones, in order.

        Returns:
            the rounds with this rank's pairs alone, in order, and how many of these are among the
            first.
        """
        first = self.kept if first is None else min(first, self.kept)
        if ranks.world == 1:
            return self.rounds, first
        mine = ranks.balanced([self.prompt + tokens for tokens in self._lengths()])
        return self._part(mine), sum(i < first for i in mine)

    def share_of_first(self, ranks: Ranks, first: int | None = None) -> list[Round]:
        """A rank's part of the first pairs, so that all have about as many tokens of right verdicts.

        Args:
            ranks: which rank, of how many.
            first: how many pairs there are to share; None shares all.
        """
        costs = [self.prompt + tokens for tokens in self._lengths(right=True)]
        return self._part(ranks.balanced(costs[:first]))

    def _lengths(self, right: bool = False) -> list[int]:
        """Generated tokens of each held pair, or those of its right verdicts."""
        found: list[int] = []
        for held in self.rounds:
            counted_PG = held.verdicts.completions.lengths_PG
            if right:
                counted_PG = counted_PG * (held.verdicts.rewards_PG == 1).to(counted_PG.device)
            found += counted_PG.sum(1).tolist()
        return found

    def _part(self, pairs: list[int]) -> list[Round]:
        """The rounds with some of the held pairs alone, in order."""
        here = within(pairs, [len(held.first_P) for held in self.rounds])
        return [
            held.select(torch.tensor(chosen)) for held, chosen in zip(self.rounds, here) if chosen
        ]

    def add(self, micro: MicroBatch, verdicts: Verdicts, parsed_PG: Tensor | None = None) -> None:
        """Keep the contributing pairs of a round, up to the capacity.

        Args:
            micro: the round's batch.
            verdicts: on all of its pairs.
            parsed_PG: which answers could be read; None looks at each.
        """
        chosen = contributing_pairs(verdicts.rewards_PG).nonzero()[:, 0]
        self.seen += len(verdicts.rewards_PG)
        self.contributing += len(chosen)
        if parsed_PG is None:
            parsed_PG = torch.tensor([[a is not None for a in g] for g in verdicts.answers])
        self.parsed += parsed_PG.double().mean(1).tolist()
        self._note(micro, verdicts)
        chosen = chosen[: self.capacity - self.kept]
        if not len(chosen):
            return
        first_P, second_P, _ = micro.pair_tensors()
        kept = verdicts.select(chosen)
        self.rounds.append(Round(micro, first_P[chosen], second_P[chosen], kept))

    def _note(self, micro: MicroBatch, verdicts: Verdicts) -> None:
        """Figures over all pairs seen, kept or not."""
        same_P = micro.pair_tensors()[2]
        self.rewards += verdicts.rewards_PG.mean(1).tolist()
        self.right_same += verdicts.rewards_PG[same_P].mean(1).tolist()
        self.right_different += verdicts.rewards_PG[~same_P].mean(1).tolist()
        self.lengths += verdicts.completions.lengths_PG.float().mean(1).tolist()

    def metrics(self) -> dict[str, float]:
        """Reward, contributing share and shape of the rollouts of this step."""
        figures = {
            "rollout/reward": self.rewards,
            "rollout/reward_same": self.right_same,
            "rollout/reward_different": self.right_different,
            "rollout/parsed": self.parsed,
            "rollout/length": self.lengths,
        }
        metrics = {k: float(torch.tensor(v).mean()) for k, v in figures.items() if v}
        return (
            metrics
            | self._accuracy()
            | self._choices()
            | {
                "rollout/contributing": self.contributing / max(1, self.seen),
                "rollout/pairs": float(self.seen),
                "rollout/kept": float(self.kept),
                "rollout/discarded": float(self.discarded),
            }
        )

    def _choices(self) -> dict[str, float]:
        """What choosing pairs brought, and how far it leans."""
        found: dict[str, list[float]] = {}
        for choice, outcomes in self.choices:
            for name, value in choice.figures.items():
                found.setdefault(name, []).append(value)
            for explored, contributed in zip(choice.explored, outcomes, strict=True):
                kind = "explored" if explored else "predicted"
                found.setdefault(f"choice/contributing_{kind}", []).append(float(contributed))
        return {name: statistics.fmean(values) for name, values in found.items()}

    def _accuracy(self) -> dict[str, float]:
        """Mean over the rounds, of each attribute and of all."""
        by_name: dict[str, list[float]] = {}
        for found in self.accuracy:
            for name, share in found.items():
                by_name.setdefault(name, []).append(share)
        means = {name: statistics.fmean(shares) for name, shares in by_name.items()}
        metrics = {f"accuracy/{name}": mean for name, mean in means.items()}
        return metrics | ({"accuracy/all": statistics.fmean(means.values())} if means else {})
