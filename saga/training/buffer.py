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
from saga.training.ranks import Ranks


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
        if ranks.world == 1:
            return self.rounds, min(self.kept, self.kept if first is None else first)
        costs = [t for r in self.rounds for t in r.verdicts.completions.lengths_PG.sum(1).tolist()]
        mine = ranks.balanced(costs)
        rounds, start = [], 0
        for held in self.rounds:
            here = [i - start for i in mine if start <= i < start + len(held.first_P)]
            start += len(held.first_P)
            if here:
                rounds.append(held.select(torch.tensor(here)))
        return rounds, sum(i < (self.kept if first is None else first) for i in mine)

    def add(self, micro: MicroBatch, verdicts: Verdicts) -> None:
        """Keep the contributing pairs of a round, up to the capacity."""
        chosen = contributing_pairs(verdicts.rewards_PG).nonzero()[:, 0]
        self.seen += len(verdicts.rewards_PG)
        self.contributing += len(chosen)
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
        self.parsed += [sum(answer is not None for answer in g) / len(g) for g in verdicts.answers]
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
