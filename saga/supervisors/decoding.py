"""Text of sampled tokens, and where each token lies in it.

Tokenising the text again need not give the sampled tokens back, so offsets come from decoding: token by
token where the pieces join to the whole, by growing prefixes where they do not (a character that is
split over tokens).
"""

from functools import cache
from typing import Any


class PieceDecoder:
    """Decodes completions and keeps the text of every token it has met."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._piece = cache(lambda token: self._decode([token]))

    def text(self, tokens: list[int]) -> str:
        """The completion's text, special tokens included."""
        pieces = [self._piece(token) for token in tokens]
        return "".join(pieces) if _whole(pieces) else self._decode(tokens)

    def offsets(self, tokens: list[int]) -> list[tuple[int, int]]:
        """Start and end of each token in `text(tokens)`, in characters.

        Tokens that only complete a character have the place of the one that began it.
        """
        pieces = [self._piece(token) for token in tokens]
        if _whole(pieces):
            ends = [0]
            for piece in pieces:
                ends.append(ends[-1] + len(piece))
        else:
            ends = [0, *(len(self._decode(tokens[: i + 1])) for i in range(len(tokens)))]
        places = list(zip(ends, ends[1:]))
        for t in range(1, len(places)):
            if places[t][0] == places[t][1]:
                places[t] = places[t - 1]
        return places

    def _decode(self, tokens: list[int]) -> str:
        text: str = self._tokenizer.decode(
            tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text


def _whole(pieces: list[str]) -> bool:
    """Whether every piece decodes to whole characters."""
    return not any("\ufffd" in piece for piece in pieces)
