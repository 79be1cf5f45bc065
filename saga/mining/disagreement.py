"""Which pairs will the rollouts disagree on? Spend them there (not in the paper).

A pair teaches only if its completions earn different rewards. In the mode "predicted" more pairs are
drawn than are rolled out, and a logistic regression on past outcomes says which to take. What it
knows of a pair: whether it is one of equals, how similar the images are to the encoder as it is now,
and how often pairs with either image and pairs of these two classes have contributed.

The price is a bias: pairs are no longer drawn as the paper draws them. So a share of each batch
(`explore`) is still drawn uniformly: it keeps the regression honest, and says what share of pairs
would have contributed without it. Both shares, and how the chosen pairs differ from the drawn ones, are
reported. The mode "unbiased" (the default) takes every pair that is drawn.

Shapes: n pairs, F features.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from saga.mining.configuration import ChoiceConfig

Pair = tuple[int, int, bool]
"""Two images by training row, and whether they are of one class."""

REMEMBERED = 4096
"""Outcomes that the regression learns from: the encoder changes, and old ones grow stale."""
ENOUGH = 64
"""Outcomes before anything is predicted."""
PRIOR = 4.0
"""A rate starts as if it had been seen so often at the overall share."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Pairs that are to be rolled out."""

    places: list[int]
    """Of the chosen among the candidates, in the candidates' order."""
    explored: list[bool]
    """Of each: whether it was drawn uniformly."""
    features: np.ndarray
    """Of each, (n, F)."""
    figures: dict[str, float]
    """How the chosen differ from the candidates."""


class PairChooser:
    """Chooses pairs, and learns from what became of them."""

    def __init__(self, config: ChoiceConfig, labels: Sequence[int]) -> None:
        """Knows nothing yet.

        Args:
            config: mode, candidates, exploration.
            labels: class of every training row.
        """
        self.config = config
        self._labels = list(labels)
        self._outcomes: deque[tuple[list[float], bool]] = deque(maxlen=REMEMBERED)
        self._counts: dict[str, list[int]] = {}
        self._model: tuple[Any, Any] | None = None

    @property
    def predicts(self) -> bool:
        """Whether anything is chosen at all."""
        return self.config.mode == "predicted"

    def candidates(self, wanted: int) -> int:
        """Pairs to draw for `wanted` rollouts."""
        return wanted * self.config.candidates if self.predicts else wanted

    def choose(
        self, pairs: Sequence[Pair], similarity: np.ndarray, wanted: int, seed: list[int]
    ) -> Choice:
        """Some of the pairs; as many of each kind as the candidates' balance asks for.

        Args:
            pairs: candidates.
            similarity: cosine of each pair's embeddings, (n,).
            wanted: pairs to roll out.
            seed: of the draws.
        """
        features = np.array([self._features(*p) for p in zip(pairs, similarity)]).reshape(
            len(pairs), -1
        )
        if not self.predicts:
            return Choice(list(range(len(pairs))), [True] * len(pairs), features, {})
        likely, rng = self._likely(features), np.random.default_rng(seed)
        same = np.array([pair[2] for pair in pairs], bool)
        taken: dict[int, bool] = {}
        for kind, share in ((True, wanted - wanted // 2), (False, wanted // 2)):
            taken |= _draw(np.flatnonzero(same == kind), likely, share, self.config.explore, rng)
        places = sorted(taken)
        explored = [taken[i] for i in places]
        figures = _figures(np.array(places), np.array(explored, bool), likely, similarity)
        return Choice(places, explored, features[places], figures)

    def learn(
        self, pairs: Sequence[Pair], features: np.ndarray, contributed: Sequence[bool]
    ) -> None:
        """Take the outcomes of some rollouts."""
        for pair, row, outcome in zip(pairs, features.tolist(), contributed, strict=True):
            self._outcomes.append((row, bool(outcome)))
            for key in self._keys(pair):
                seen = self._counts.setdefault(key, [0, 0])
                seen[0] += bool(outcome)
                seen[1] += 1
        self._model = None

    def state_dict(self) -> dict[str, Any]:
        """What was learned, as JSON."""
        return {"outcomes": [list(o) for o in self._outcomes], "counts": dict(self._counts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._outcomes = deque(((row, bool(o)) for row, o in state["outcomes"]), REMEMBERED)
        self._counts = {key: list(seen) for key, seen in state["counts"].items()}
        self._model = None

    def _features(self, pair: Pair, similarity: float) -> list[float]:
        same, overall = float(pair[2]), self._overall()
        first, second, classes = (self._rate(key, overall) for key in self._keys(pair))
        return [
            same,
            similarity,
            same * similarity,
            max(first, second),
            min(first, second),
            classes,
        ]

    def _keys(self, pair: Pair) -> tuple[str, str, str]:
        """Under which a pair's outcomes are counted: each image, and the two classes."""
        low, high = sorted((self._labels[pair[0]], self._labels[pair[1]]))
        return f"i{pair[0]}", f"i{pair[1]}", f"c{low}-{high}"

    def _overall(self) -> float:
        return sum(o for _, o in self._outcomes) / len(self._outcomes) if self._outcomes else 0.5

    def _rate(self, key: str, overall: float) -> float:
        """How often such pairs contributed, drawn towards the overall share, as log odds."""
        hits, seen = self._counts.get(key, (0, 0))
        rate = (hits + PRIOR * overall) / (seen + PRIOR)
        rate = min(max(rate, 0.01), 0.99)
        return math.log(rate / (1 - rate))

    def _likely(self, features: np.ndarray) -> np.ndarray:
        """Probability (n,) that each pair contributes; equal ones as long as too little is known."""
        outcomes = [o for _, o in self._outcomes]
        if len(outcomes) < ENOUGH or len(set(outcomes)) < 2:
            return np.full(len(features), self._overall())
        if self._model is None:
            self._model = _fitted(np.array([row for row, _ in self._outcomes]), outcomes)
        scaler, regression = self._model
        probabilities: np.ndarray = regression.predict_proba(scaler.transform(features))[:, 1]
        return probabilities


def _fitted(features: np.ndarray, outcomes: list[bool]) -> tuple[Any, Any]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(features)
    return scaler, LogisticRegression(max_iter=200).fit(scaler.transform(features), outcomes)


def _draw(
    among: np.ndarray, likely: np.ndarray, count: int, explore: float, rng: np.random.Generator
) -> dict[int, bool]:
    """Places of `count` pairs, and whether each was drawn uniformly; the rest are the likeliest."""
    count = min(count, len(among))
    uniform = int(round(explore * count))
    shuffled = rng.permutation(among)
    taken = {int(i): True for i in shuffled[:uniform]}
    # Of equally likely ones a random one: the order of the candidates means nothing.
    rest = sorted(shuffled[uniform:], key=lambda i: -likely[i])
    return taken | {int(i): False for i in rest[: count - uniform]}


def _figures(
    places: np.ndarray, explored: np.ndarray, likely: np.ndarray, similarity: np.ndarray
) -> dict[str, float]:
    """Means over the chosen minus means over all that were drawn: the bias."""
    if not len(places):
        return {}
    return {
        "choice/similarity_shift": float(similarity[places].mean() - similarity.mean()),
        "choice/expected_lift": float(likely[places].mean() - likely.mean()),
    }
