"""How long completions are likely to be, so that ranks get about as much to decode.

What is said about different things is longer than what is said about the same, and about some images more
is said than about others: a pair's expectation is the mean of its kind and what was seen beyond it of its
two images, the less of it the less was seen. It decides who decodes what and never what comes out, so a
resumed run may begin without it.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

PRIOR = 2.0
"""As many sightings of an image weigh as much as the mean of the kind."""

Pair = tuple[int, int, bool]
"""Training rows of both images, and whether they are of one class."""


@dataclass
class Mean:
    """Of what was noted so far, drawn towards 0 as if 0 had been noted some times."""

    prior: float = 0.0
    total: float = 0.0
    count: int = 0

    def note(self, value: float) -> None:
        """One more."""
        self.total += value
        self.count += 1

    @property
    def value(self) -> float:
        """0 where nothing was noted."""
        return self.total / (self.count + self.prior) if self.count else 0.0


@dataclass
class ExpectedLengths:
    """Learns tokens of completions by kind of pair and by image."""

    _kinds: dict[bool, Mean] = field(default_factory=lambda: defaultdict(Mean))
    _images: dict[int, Mean] = field(default_factory=lambda: defaultdict(lambda: Mean(PRIOR)))

    def of(self, first: int, second: int, same: bool) -> float:
        """Tokens expected of one completion about a pair; of all pairs 0 while nothing is known."""
        beyond = self._images[first].value + self._images[second].value
        return max(0.0, self._kinds[same].value + beyond / 2)

    def learn(self, pairs: Iterable[Pair], lengths: Iterable[float]) -> None:
        """Completions of these pairs had these lengths, each the mean of its group."""
        for (first, second, same), length in zip(pairs, lengths, strict=True):
            kind = self._kinds[same]
            kind.note(length)
            for row in (first, second):
                self._images[row].note(length - kind.value)
