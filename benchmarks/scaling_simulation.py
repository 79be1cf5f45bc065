"""Steps over 1 to 512 GPUs, simulated: draws, dealings, waiting.

Pairs are drawn as saga/training/gathering.py does: as many batches at once as are expected to fill the
buffer, more if that was too few. What a rank takes for its part comes from benchmarks.scaling_model; a
phase lasts as long as the slowest rank, and the others wait.

Dealings, all of the same draws:

    rolled out   pairs in turns; who rolled a pair out replays it, as in plain data parallelism
    turns        pairs in turns, kept pairs in turns
    balanced     saga's: pairs by expected tokens, kept pairs by their tokens

Shapes: P pairs, G group size, R ranks.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks.scaling_bytes import StepSizes, step_bytes, step_exchanges
from benchmarks.scaling_model import Model
from saga.training.ranks import Ranks, dealt

DEALINGS = ("rolled out", "turns", "balanced")


@dataclass(frozen=True, slots=True)
class Lengths:
    """Log-normal lengths of completions, part of which lies with the pair."""

    mean: float
    """Tokens."""
    sigma: float
    """Of the logarithm."""
    between: float
    """Share of the logarithm's variance that lies between pairs."""
    known: float
    """Correlation of a pair's expected length with the mean of its group."""
    longest: int

    def draw(self, rng: np.random.Generator, P: int, G: int) -> tuple[np.ndarray, np.ndarray]:
        """Lengths (P, G) and what is expected of each pair (P,)."""
        pair_P = rng.normal(size=P)
        own_PG = rng.normal(size=(P, G))
        log_PG = math.sqrt(self.between) * pair_P[:, None] + math.sqrt(1 - self.between) * own_PG
        drawn_PG = self.mean * np.exp(self.sigma * log_PG - self.sigma**2 / 2)
        of_mean = math.sqrt(self.between + (1 - self.between) / G)
        known = min(1.0, self.known * of_mean / math.sqrt(self.between)) if self.between else 0.0
        guess_P = known * pair_P + math.sqrt(1 - known**2) * rng.normal(size=P)
        expected_P = self.mean * np.exp(self.sigma * math.sqrt(self.between) * guess_P)
        return np.clip(np.rint(drawn_PG), 1, self.longest).astype(int), expected_P


@dataclass(frozen=True, slots=True)
class Setting:
    """What a step over some ranks has to do."""

    sizes: StepSizes
    """Of one batch; what was drawn is filled in."""
    pairs: int
    """Rolled out of each batch."""
    wanted: int
    """Contributing pairs of a step."""
    contributing: float
    """Share of pairs that do."""
    rounds: int
    """Most batches of a step."""
    lengths: Lengths

    def times(self, factor: int) -> "Setting":
        """A batch of so many times as many images and pairs."""
        sizes = replace(self.sizes, images=factor * self.sizes.images)
        return replace(self, sizes=sizes, pairs=factor * self.pairs, wanted=factor * self.wanted)


@dataclass
class Draw:
    """The pairs of one step."""

    lengths_PG: list[np.ndarray] = field(default_factory=list)
    """Of each decode batch."""
    expected_P: list[np.ndarray] = field(default_factory=list)
    drawn: list[int] = field(default_factory=list)
    """Batches of each decode batch."""
    used: int = 0
    keeping: int = 0
    kept: list[tuple[int, int]] = field(default_factory=list)
    """Contributing pairs that are replayed, by decode batch and place."""


@dataclass
class Spent:
    """Of one step."""

    seconds: float = 0.0
    waited: float = 0.0
    """Mean over ranks."""
    exchanging: float = 0.0
    given: int = 0
    """Bytes."""

    def phase(self, by_rank: Sequence[float]) -> None:
        """All ranks go on when the slowest is done."""
        slowest = max(by_rank)
        self.seconds += slowest
        self.waited += slowest - statistics.fmean(by_rank)


def draw_step(setting: Setting, rng: np.random.Generator) -> Draw:
    """Batches until enough pairs contribute."""
    draw = Draw()
    while draw.used < setting.rounds and len(draw.kept) < setting.wanted:
        missing = setting.wanted - len(draw.kept)
        at_once = math.ceil(missing / (setting.contributing * setting.pairs))
        at_once = min(max(1, at_once), setting.rounds - draw.used)
        lengths_PG, expected_P = setting.lengths.draw(
            rng, at_once * setting.pairs, setting.sizes.group
        )
        contributes_P = rng.random(len(expected_P)) < setting.contributing
        for batch in range(at_once):
            if draw.used and len(draw.kept) >= setting.wanted:
                break
            draw.used += 1
            places = np.flatnonzero(contributes_P[batch * setting.pairs :][: setting.pairs])
            places = places[: setting.wanted - len(draw.kept)] + batch * setting.pairs
            draw.keeping += bool(len(places))
            draw.kept += [(len(draw.drawn), int(place)) for place in places]
        draw.lengths_PG.append(lengths_PG)
        draw.expected_P.append(expected_P)
        draw.drawn.append(at_once)
    return draw


def simulate(setting: Setting, model: Model, draw: Draw, ranks: int, dealing: str) -> Spent:
    """One step over some ranks."""
    spent = Spent()
    images = setting.sizes.images
    blocks = [len(range(images)[Ranks(rank, ranks).block(images)]) for rank in range(ranks)]
    by_block = {n: model.tower_seconds(n) for n in set(blocks)}
    rolled = []
    for lengths_PG, expected_P, drawn in zip(draw.lengths_PG, draw.expected_P, draw.drawn):
        spent.phase([drawn * by_block[n] / 3 for n in blocks])
        costs = model.prompt + setting.sizes.group * expected_P
        shares = _shares(len(costs), costs.tolist(), ranks, dealing)
        rolled.append(shares)
        spent.phase([model.rollout_seconds(lengths_PG[share]) for share in shares])
    spent.seconds += draw.used * model.loss_seconds(images, setting.sizes.embedding)
    spent.phase(_replays(draw, model, rolled, ranks, dealing))
    spent.phase([draw.used * by_block[n] * 2 / 3 for n in blocks])
    sizes = sizes_of(setting, draw)
    spent.given = step_bytes(sizes)["total"] if ranks > 1 else 0
    spent.exchanging = model.cluster.exchange_seconds(spent.given, step_exchanges(sizes), ranks)
    spent.seconds += spent.exchanging
    return spent


def sizes_of(setting: Setting, draw: Draw) -> StepSizes:
    """What travels in a step of these draws."""
    decoded = [(len(lengths), int(lengths.max())) for lengths in draw.lengths_PG]
    return replace(
        setting.sizes,
        drawn=sum(draw.drawn),
        used=draw.used,
        keeping=draw.keeping,
        decoded=decoded,
    )


def mean_spent(
    setting: Setting, model: Model, ranks: int, dealing: str, steps: int, seed: int = 0
) -> Spent:
    """Over some steps; the same draws for each dealing."""
    rng = np.random.default_rng([seed, setting.pairs])
    found = [
        simulate(setting, model, draw_step(setting, rng), ranks, dealing) for _ in range(steps)
    ]
    return Spent(
        statistics.fmean(spent.seconds for spent in found),
        statistics.fmean(spent.waited for spent in found),
        statistics.fmean(spent.exchanging for spent in found),
        round(statistics.fmean(spent.given for spent in found)),
    )


def _replays(
    draw: Draw, model: Model, rolled: list[list[list[int]]], ranks: int, dealing: str
) -> list[float]:
    """Seconds of each rank's kept pairs."""
    G = draw.lengths_PG[0].shape[1]
    kept = [draw.lengths_PG[batch][place] for batch, place in draw.kept]
    lengths_KG = np.array(kept, int).reshape(-1, G)
    if dealing == "rolled out":
        owner = {
            (batch, place): rank
            for batch, shares in enumerate(rolled)
            for rank, share in enumerate(shares)
            for place in share
        }
        shares: list[list[int]] = [[] for _ in range(ranks)]
        for k, where in enumerate(draw.kept):
            shares[owner[where]].append(k)
    else:
        costs = (model.prompt + lengths_KG.sum(-1)).tolist()
        shares = _shares(len(costs), costs, ranks, dealing)
    return [model.replay_seconds(lengths_KG[share]) for share in shares]


def _shares(n: int, costs: list[float], ranks: int, dealing: str) -> list[list[int]]:
    if dealing == "balanced":
        return dealt(costs, ranks)
    return [list(range(rank, n, ranks)) for rank in range(ranks)]
