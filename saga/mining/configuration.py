"""Settings of pair mining."""

from dataclasses import dataclass
from typing import Literal

from saga.settings.checks import check_seed


@dataclass(frozen=True, slots=True)
class ChoiceConfig:
    """Which of the pairs that are drawn in training are rolled out."""

    mode: Literal["unbiased", "predicted"] = "unbiased"
    """"unbiased" takes all that are drawn (the paper); "predicted" draws more and takes those whose
    rollouts are likely to disagree: more of them teach, but they are no longer drawn evenly."""
    candidates: int = 4
    """Pairs drawn for each that is rolled out, in the mode "predicted"."""
    explore: float = 0.25
    """Share of the rollouts that goes to pairs drawn evenly all the same."""

    def __post_init__(self) -> None:
        if self.candidates < 1:
            raise ValueError(f"choice.candidates must be at least 1, got {self.candidates}")
        if not 0 < self.explore <= 1:
            raise ValueError(f"choice.explore must be above 0, up to 1, got {self.explore}")


@dataclass(frozen=True, slots=True)
class MiningConfig:
    """Which image pairs the supervisor compares."""

    strategy: Literal["random", "hard", "stratified"] = "random"
    """random: balanced pairs from each batch (the paper); hard: near different-class and far
    same-class neighbours under the untrained encoder; stratified: hard and random pairs of every
    class in the stated shares."""
    pairs: int = 4000
    """Pairs to mine."""
    neighbours: int = 10
    """Candidates per image among which hard pairs are drawn."""
    hard_share: float = 0.7
    """Share of hard pairs in the strategy "stratified"."""
    seed: int = 0
    """Seed of every draw."""

    def __post_init__(self) -> None:
        if self.pairs < 2:
            raise ValueError(f"pairs must be at least 2, got {self.pairs}")
        if self.neighbours < 1:
            raise ValueError(f"neighbours must be at least 1, got {self.neighbours}")
        if not 0 <= self.hard_share <= 1:
            raise ValueError(f"hard_share must be in [0, 1], got {self.hard_share}")
        check_seed(self.seed)
