"""Stands in for what random weights cannot give: lengths, verdicts and places of values.

Every second completion of a group says "yes", so that every pair contributes. Values stand at fixed
places, VALUE_TOKENS tokens each: with six attributes as many queries of attention as METHOD section 5's
28 attributes have with values of two tokens. Everything else is done as always and costs what it costs.

Shapes: P pairs, G group size.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from saga.supervisors import supervisor as module
from saga.supervisors.backbone import Prefix
from saga.supervisors.prompts import Prompt
from saga.supervisors.rollout import Completions
from saga.supervisors.supervisor import Answers, Supervisor
from saga.supervisors.verdict import ParsedAnswer, Span

VALUE_TOKENS = 9
SPREAD, LEAST = 0.25, 4
"""Of the logarithm of a length; shortest length."""
SPECIAL_IDS = 16
"""Ids below this one may be special tokens; random words are drawn above."""


def forced_lengths(pairs: int, group: int, mean: int, longest: int, seed: int = 0) -> Tensor:
    """Generated tokens (P, G), end token included: log-normal, scaled to have just this mean.

    Args:
        pairs: P.
        group: G.
        mean: of what is drawn, in tokens.
        longest: longer ones are cut to this.
        seed: the same lengths for the same seed.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.lognormal(0.0, SPREAD, (pairs, group))
    drawn *= mean / drawn.mean()
    return torch.from_numpy(np.clip(np.rint(drawn), LEAST, longest)).long()


def stated(mean: int, longest: int) -> str:
    """The distribution in words."""
    return f"log-normal, mean {mean} tokens, sigma {SPREAD} of the logarithm, at most {longest}"


def padded(prefix: Prefix, length: int | None, vocabulary: int, seed: int = 0) -> Prefix:
    """The prompt with random words behind it, up to a length.

    Args:
        prefix: images first, then text.
        length: tokens wanted; None changes nothing.
        vocabulary: ids there are.
        seed: of the words.

    Raises:
        ValueError: if the prompt is longer than that.
    """
    if length is None:
        return prefix
    missing = length - len(prefix)
    if missing < 0:
        raise ValueError(f"the prompt has {len(prefix)} tokens already, more than {length}")
    generator = torch.Generator().manual_seed(seed)
    device = prefix.ids_S.device
    more = torch.randint(SPECIAL_IDS, vocabulary, (missing,), generator=generator).to(device)
    follow = prefix.next_position + torch.arange(missing, device=device)
    positions = [prefix.positions_RS, follow.expand(len(prefix.positions_RS), -1)]
    return replace(
        prefix,
        ids_S=torch.cat([prefix.ids_S, more]),
        positions_RS=torch.cat(positions, 1),
        next_position=prefix.next_position + missing,
    )


class FixedPieces:
    """A decoder for which every token is one character."""

    def text(self, tokens: list[int]) -> str:
        """As long as there are tokens."""
        return "x" * len(tokens)

    def offsets(self, tokens: list[int]) -> list[tuple[int, int]]:
        """Start and end of each token."""
        return [(t, t + 1) for t in range(len(tokens))]


def written_answer(prompt: Prompt, same: bool, tokens: int) -> ParsedAnswer:
    """An answer whose values are spread evenly over a completion.

    Args:
        prompt: names the attributes.
        same: the verdict.
        tokens: length of the completion without its end.
    """
    count = 2 * len(prompt.attributes)
    starts = [i * (tokens - 1) // count for i in range(count)]
    each = max(1, min(VALUE_TOKENS, (tokens - 1) // count))
    spans: list[Span] = [(start, start + each) for start in starts]
    values = dict.fromkeys(prompt.attributes, "x")
    half = count // 2
    return ParsedAnswer(
        same, (tokens - 1, tokens), values, values, tuple(spans[:half]), tuple(spans[half:])
    )


def read_as_written(supervisor: Supervisor, completions: Completions) -> Answers:
    """In the place of `Supervisor.read`."""
    return [
        [written_answer(supervisor.prompt, g % 2 == 0, n - 1) for g, n in enumerate(lengths)]
        for lengths in completions.lengths_PG.tolist()
    ]


@contextmanager
def scripted(lengths_PG: Tensor | None) -> Iterator[None]:
    """Force lengths and write verdicts for as long as the block runs; None changes nothing."""
    if lengths_PG is None:
        yield
        return
    roll_out: Any = partial(module.roll_out, forced_lengths_PG=lengths_PG)
    with (
        patch.object(module, "roll_out", roll_out),
        patch.object(Supervisor, "read", read_as_written),
    ):
        yield
