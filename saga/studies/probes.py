"""What an encoder's tokens tell the frozen supervisor about birds of unseen classes, with and without haze.

A study says how well an encoder retrieves. This says why: whether the supervisor describes unseen
birds truly through its tokens, whether it describes a bird and the same bird without haze alike (which
can rise without truth), how much of the tokens is haze, and which attributes' places training changed.

Shapes: n images, P pairs, A attributes, N image tokens, D width.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from saga.data.synthetic.attributes import values_of
from saga.data.synthetic.configuration import SyntheticConfig
from saga.data.synthetic.dataset import class_jobs, draw_class
from saga.encoders.preprocess import ImagePreprocessor
from saga.encoders.tower import VisionTokens, VisionTower
from saga.supervisors.configuration import RolloutConfig
from saga.supervisors.supervisor import Supervisor, Verdicts
from saga.supervisors.truth import Values, description_accuracy

Pair = tuple[int, int, bool]
ALMOST_NONE = 1e-9
"""Haze so thin that no pixel changes, though all random numbers of a hazy image are drawn."""
REPLAYED = 16
"""Pairs replayed at once."""
AT_ONCE = 64
"""Images through the tower at once."""


@dataclass(frozen=True, slots=True)
class Birds:
    """Images of unseen classes and the same images without their haze."""

    images: list[np.ndarray]
    clear: list[np.ndarray]
    """Twins: all is the same but the haze."""
    values: list[Values]
    """True attribute values of each."""
    pairs: list[Pair]
    """Of one class, and of two that differ in the fewest attributes."""


@torch.no_grad()
def tokens_of(
    tower: VisionTower, preprocessor: ImagePreprocessor, images: Sequence[np.ndarray]
) -> VisionTokens:
    """The tower's tokens of some images."""
    device = next(tower.parameters()).device
    parts = [
        tower(preprocessor([Image.fromarray(x) for x in images[i : i + AT_ONCE]]).to(device))
        for i in range(0, len(images), AT_ONCE)
    ]
    return VisionTokens(
        torch.cat([part.tokens_BND for part in parts]),
        tuple(torch.cat(level) for level in zip(*(part.deepstack for part in parts))),
    )


def unseen_birds(config: SyntheticConfig, per_class: int) -> Birds:
    """The first images of every test class, their twins, and pairs that are hard.

    Raises:
        ValueError: if `per_class` is odd or exceeds what a class has.
    """
    if per_class % 2 or per_class > config.images_per_class:
        raise ValueError(
            f"per_class must be even, up to {config.images_per_class}; got {per_class}"
        )
    small = replace(config, images_per_class=per_class)
    twins = replace(small, haze=ALMOST_NONE) if config.haze > 0 else small
    jobs = [job for job in class_jobs(small) if job["split"] == "test"]
    clear = [job | {"config": twins} for job in jobs]
    truths = [values_of(job["combination"]) for job in jobs]
    return Birds(
        [image for job in jobs for image in draw_class(job)],
        [image for job in clear for image in draw_class(job)],
        [truth for truth in truths for _ in range(per_class)],
        _hard_pairs([job["combination"] for job in jobs], per_class),
    )


def _hard_pairs(classes: list[tuple[int, ...]], per_class: int) -> list[Pair]:
    """Every image with its neighbour of the class, and as often with the nearest class's."""
    table = np.array(classes)
    distance = (table[:, None] != table[None]).sum(-1)
    np.fill_diagonal(distance, table.shape[1] + 1)
    nearest = distance.argmin(1)
    pairs: list[Pair] = []
    for k, other in enumerate(nearest.tolist()):
        for i in range(0, per_class, 2):
            pairs.append((k * per_class + i, k * per_class + i + 1, True))
            pairs.append((k * per_class + i, other * per_class + i + 1, False))
    return pairs


def descriptions(
    supervisor: Supervisor, tokens: VisionTokens, birds: Birds, config: RolloutConfig, seed: int
) -> tuple[Verdicts, dict[str, Any]]:
    """The supervisor's answers about the birds' pairs, and how right they are.

    Returns:
        the answers; reward, that of same and of different pairs, and the share of described values
        that are true, of each attribute and of all.
    """
    verdicts = judged(supervisor, tokens, tokens, birds.pairs, config, seed)
    same = torch.tensor([pair[2] for pair in birds.pairs])
    truths = [(birds.values[a], birds.values[b]) for a, b, _ in birds.pairs]
    accuracy = description_accuracy(verdicts.answers, truths)
    rewards = verdicts.rewards_PG.mean(1)
    return verdicts, {
        "reward": float(rewards.mean()),
        "reward_same": float(rewards[same].mean()),
        "reward_different": float(rewards[~same].mean()),
        "accuracy": statistics.fmean(accuracy.values()) if accuracy else None,
        "accuracy_by_attribute": accuracy,
    }


def agreement(
    supervisor: Supervisor,
    tokens: VisionTokens,
    clear: VisionTokens,
    config: RolloutConfig,
    seed: int,
) -> dict[str, float]:
    """Share of values that are said alike of an image and of its twin without haze, by attribute."""
    pairs = [(i, i, True) for i in range(len(tokens.tokens_BND))]
    verdicts = judged(supervisor, tokens, clear, pairs, config, seed)
    read = [answer for group in verdicts.answers for answer in group if answer is not None]
    return {
        name: statistics.fmean(a.attributes_a[name] == a.attributes_b[name] for a in read)
        for name in (supervisor.prompt.attributes if read else ())
    }


def judged(
    supervisor: Supervisor,
    first: VisionTokens,
    second: VisionTokens,
    pairs: list[Pair],
    config: RolloutConfig,
    seed: int,
) -> Verdicts:
    """Answers about pairs of an image of one set and one of another."""
    a, b, same = zip(*pairs)
    seeds = [seed + i for i in range(len(pairs))]
    chosen = first.index(torch.tensor(a)), second.index(torch.tensor(b))
    return supervisor.judge(*chosen, list(same), config, seeds)


def attribute_places(
    supervisor: Supervisor,
    tokens: VisionTokens,
    birds: Birds,
    verdicts: Verdicts,
) -> Tensor:
    """Where the supervisor looks for each attribute of each image, (n, A, N); rows sum to 1 or are 0.

    Of right answers alone, as attention alignment takes them; averaged over an image's pairs.
    """
    n, N = tokens.tokens_BND.shape[:2]
    A = len(supervisor.prompt.attributes)
    sums = torch.zeros(n, A, N)
    first, second, _ = (torch.tensor(column) for column in zip(*birds.pairs))
    for chunk in torch.arange(len(first)).split(REPLAYED):
        chosen = verdicts.select(chunk)
        right_PG = chosen.rewards_PG == 1
        capture = supervisor.look(
            tokens.index(first[chunk]), tokens.index(second[chunk]), chosen.completions, right_PG
        )
        maps, present = supervisor.teacher_maps(
            capture, chosen.completions, chosen.answers, right_PG
        )
        maps = (maps * present[:, None, None, None]).cpu()
        sums.index_add_(0, first[chunk], maps[:, 0])
        sums.index_add_(0, second[chunk], maps[:, 1])
    return sums / sums.sum(-1, keepdim=True).clamp_min(1e-9)


def token_change(before: Tensor, after: Tensor, places: Tensor) -> dict[str, Any]:
    """How far training moved the tokens, relative to their spread over images before it.

    Args:
        before: tokens of the untrained tower, (n, N, D).
        after: tokens of the trained one.
        places: maps (n, A, N) of `attribute_places`.

    Returns:
        the mean over all tokens, and the mean where each attribute is looked for, in its order.
    """
    moved = (after - before).square().sum(-1)
    spread = (before - before.mean(0)).square().sum(-1).mean()
    found = places.sum(-1) > 0
    at_places = (places * moved[:, None]).sum(-1) / spread
    each = [float(at_places[found[:, a], a].mean()) for a in range(places.shape[1])]
    return {"all": float(moved.mean() / spread), "by_attribute": each}


def haze_share(hazy: Tensor, clear: Tensor) -> float:
    """Squared distance that haze makes, relative to that between two clear images; over any shape (n, …)."""
    by_haze = (hazy - clear).square().flatten(1).sum(1).mean()
    centred = (clear - clear.mean(0)).square().flatten(1).sum(1).mean()
    # Of two independent images the mean squared distance is twice the variance.
    return float(by_haze / (2 * centred))
