"""Bytes that a rank gives to collectives in one step, from sizes alone.

Counted is what is handed over, once for each exchange: a ring moves 2(R−1)/R times as much through every
rank, whatever R. Of the terms each is written as in the code: saga/training/gathering.py (tokens,
completions), step_terms.py (embeddings, head), term.py (gradients).

Shapes: B images, N tokens, D width, E embedding width, P pairs, G group size, T generated tokens.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from saga.training.ranks import BUCKET

FLOAT, DOUBLE, WHOLE = 4, 8, 8
"""Bytes of a number."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Of a part that is trained."""

    numbers: int
    tensors: int


@dataclass(frozen=True, slots=True)
class StepSizes:
    """What of a step travels."""

    images: int
    """Of each batch, B."""
    tokens: int
    """Of an image, N."""
    width: int
    """Of a token, D."""
    levels: int
    """Deepstack levels and the last one."""
    embedding: int
    """E."""
    drawn: int
    """Batches encoded."""
    used: int
    """Of these, those that were not given back."""
    keeping: int
    """Of these, those with contributing pairs."""
    decoded: Sequence[tuple[int, int]]
    """Pairs and longest completion of each decode batch, (P, T)."""
    group: int
    """G."""
    encoder: Weights
    pooler: Weights
    looking: Weights
    """The part of the pooler that attention alignment teaches."""
    proxies: Weights


def step_bytes(sizes: StepSizes) -> dict[str, int]:
    """By what it is, and the "total", of a step of all three terms in which their norms are not measured."""
    of_batch = FLOAT * sizes.images * sizes.tokens * sizes.width
    head = replace(
        sizes.pooler,
        numbers=sizes.pooler.numbers + sizes.proxies.numbers,
        tensors=sizes.pooler.tensors + sizes.proxies.tensors,
    )
    found = {
        "tokens": sizes.drawn * sizes.levels * of_batch,
        "completions": sum(_completions(P, sizes.group, T) for P, T in sizes.decoded),
        "embeddings": FLOAT * sizes.used * sizes.images * sizes.embedding,
        "token_gradients": FLOAT * sizes.used * sizes.levels
        + (sizes.keeping * sizes.levels + sizes.used - sizes.keeping) * of_batch,
        "encoder": FLOAT * (sizes.encoder.tensors + sizes.encoder.numbers),
        "head": FLOAT
        * (head.tensors + head.numbers + sizes.pooler.tensors + sizes.looking.numbers),
        # Two of the policy, one and three of alignment; the times of all exchanges and of the step.
        "figures": DOUBLE * (2 + 1 + 3) + DOUBLE * (step_exchanges(sizes) + 1),
    }
    return found | {"total": sum(found.values())}


def step_exchanges(sizes: StepSizes) -> int:
    """Collectives of such a step, before ranks tell each other their times."""
    of_level = sizes.images * sizes.tokens * sizes.width
    return (
        sizes.drawn * sizes.levels
        + 6 * len(sizes.decoded)
        + sizes.used  # embeddings
        + 1
        + _buckets(sizes.pooler.numbers + sizes.proxies.numbers)
        + 1  # the policy's figures
        + 2
        + 1
        + _buckets(sizes.looking.numbers)
        + sizes.keeping * (1 + _buckets(sizes.levels * of_level))
        + (sizes.used - sizes.keeping) * (1 + _buckets(of_level))
        + 1
        + _buckets(sizes.encoder.numbers)
    )


def _completions(P: int, G: int, T: int) -> int:
    """The longest length; tokens, lengths, ends and log-probabilities; rewards and what could be read."""
    return WHOLE + P * G * (WHOLE * T + WHOLE + WHOLE + FLOAT * T) + P * G * 2 * FLOAT


def _buckets(numbers: int) -> int:
    """Exchanges of so many numbers, as near as it can be told without the tensors' own sizes."""
    return math.ceil(numbers / BUCKET)
