"""Chooses the pairs that the supervisor will compare.

Hard pairs are those the untrained encoder gets wrong or nearly wrong: an image with one of its
nearest neighbours of another class, and an image with one of its farthest of the same class. They
are where rollouts disagree, and only disagreeing groups teach.

Shapes: n training images, E embedding width.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from saga.errors import UserInputError
from saga.mining.configuration import MiningConfig
from saga.mining.pairs import SCHEMA, PairSet
from saga.retrieval.extract import Progress, extract_embeddings
from saga.retrieval.search import search

if TYPE_CHECKING:
    from saga.data.configuration import ImageLimits
    from saga.data.manifest import DatasetManifest
    from saga.encoders.retriever import Retriever

Pair = tuple[int, int]
TRIES_PER_PAIR = 50


def mine_training_images(
    manifest: "DatasetManifest",
    config: MiningConfig,
    untrained: "Callable[[], Retriever]",
    limits: "ImageLimits",
    progress: Progress | None = None,
) -> PairSet:
    """Pairs of a manifest's training images, which are embedded only where the strategy searches.

    Args:
        manifest: the data.
        config: strategy and numbers.
        untrained: gives the encoder to search with.
        limits: what the image loader accepts.
        progress: called with (images embedded, images).
    """
    frame = manifest.training()
    if not needs_embeddings(config):
        return mine_pairs(frame, config, manifest.digest)
    encoder = untrained()
    vectors = extract_embeddings(encoder, manifest, frame, progress=progress, limits=limits)
    return mine_pairs(frame, config, manifest.digest, vectors, encoder.digest)


def mine_pairs(
    frame: pd.DataFrame,
    config: MiningConfig,
    manifest_digest: str,
    embeddings: np.ndarray | None = None,
    encoder_digest: str | None = None,
) -> PairSet:
    """Balanced pairs of training images: half of one class, half of two.

    Args:
        frame: training rows of a manifest (image_id, class_id).
        config: strategy and numbers.
        manifest_digest: recorded.
        embeddings: unit vectors (n, E) in the order of `frame`; needed by hard and stratified.
        encoder_digest: of the encoder that made them; recorded.

    Returns:
        at most `config.pairs` pairs, fewer where the data does not hold as many of a kind.

    Raises:
        UserInputError: if there are fewer than two classes or a class has one image.
    """
    labels = frame["class_id"].to_numpy()
    _check(labels)
    if config.strategy != "random" and embeddings is None:
        raise ValueError(f"the strategy {config.strategy} needs embeddings")
    rng = np.random.default_rng(config.seed)
    hard_share = {"random": 0.0, "hard": 1.0, "stratified": config.hard_share}[config.strategy]
    hard = round(config.pairs * hard_share)
    taken: dict[Pair, tuple[bool, str]] = {}
    if hard:
        assert embeddings is not None
        near = _near_different(labels, embeddings, config, rng)
        far = _far_same(labels, embeddings, config, rng)
        _take(near, hard // 2, False, "hard", taken)
        _take(far, hard - hard // 2, True, "hard", taken)
    rest = config.pairs - hard
    if rest:
        _take(_random(labels, False, rng), rest // 2, False, "random", taken)
        _take(_random(labels, True, rng), rest - rest // 2, True, "random", taken)
    return PairSet(
        _frame(frame["image_id"].to_numpy(), taken, embeddings, rng),
        config.strategy,
        config.seed,
        manifest_digest,
        encoder_digest,
    )


def needs_embeddings(config: MiningConfig) -> bool:
    """Whether the strategy searches neighbours."""
    return config.strategy != "random"


def _check(labels: np.ndarray) -> None:
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2 or counts.min() < 2:
        smallest = counts.min() if len(counts) else 0
        raise UserInputError(
            "Pairs need at least two training classes of two images each; given are "
            f"{len(classes)} classes, the smallest with {smallest} images."
        )


def _random(labels: np.ndarray, same: bool, rng: np.random.Generator) -> Iterator[Pair]:
    """Random pairs, class by class so that every class is covered; endless."""
    members = [np.flatnonzero(labels == c) for c in np.unique(labels)]
    while True:
        for c in rng.permutation(len(members)):
            i = int(rng.choice(members[c]))
            other = c if same else int((c + rng.integers(1, len(members))) % len(members))
            yield i, int(rng.choice(members[other]))


def _near_different(
    labels: np.ndarray, embeddings: np.ndarray, config: MiningConfig, rng: np.random.Generator
) -> Iterator[Pair]:
    """An image and one of its nearest images of another class, nearest ranks first."""
    # Enough neighbours that `config.neighbours` of another class are among them.
    most = int(np.unique(labels, return_counts=True)[1].max())
    k = min(len(labels) - 1, most - 1 + config.neighbours)
    neighbours = search(embeddings, embeddings, k, exclude_self=True).indices
    ranked = [
        row[labels[row] != labels[i]][: config.neighbours] for i, row in enumerate(neighbours)
    ]
    yield from _by_rank(ranked, rng)


def _far_same(
    labels: np.ndarray, embeddings: np.ndarray, config: MiningConfig, rng: np.random.Generator
) -> Iterator[Pair]:
    """An image and one of the farthest images of its own class, farthest first."""
    ranked: list[np.ndarray] = [np.empty(0, int)] * len(labels)
    for c in np.unique(labels):
        members = np.flatnonzero(labels == c)
        similarity = embeddings[members] @ embeddings[members].T
        np.fill_diagonal(similarity, np.inf)
        order = similarity.argsort(1, kind="stable")[:, : min(config.neighbours, len(members) - 1)]
        for row, i in zip(order, members):
            ranked[i] = members[row]
    yield from _by_rank(ranked, rng)


def _by_rank(ranked: list[np.ndarray], rng: np.random.Generator) -> Iterator[Pair]:
    """Every image's first candidate in random order, then every image's second, and so on."""
    for rank in range(max((len(row) for row in ranked), default=0)):
        for i in rng.permutation(len(ranked)):
            if rank < len(ranked[i]):
                yield int(i), int(ranked[i][rank])


def _take(
    source: Iterator[Pair],
    count: int,
    same: bool,
    kind: str,
    taken: dict[Pair, tuple[bool, str]],
) -> None:
    """Take `count` new unordered pairs; gives up when the source repeats itself."""
    found = 0
    for tries, (i, j) in enumerate(source):
        if found == count or tries > TRIES_PER_PAIR * (count + 1):
            return
        key = (min(i, j), max(i, j))
        if i != j and key not in taken:
            taken[key] = (same, kind)
            found += 1


def _frame(
    ids: np.ndarray,
    taken: dict[Pair, tuple[bool, str]],
    embeddings: np.ndarray | None,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Rows in random order, each pair's two images in random order."""
    rows = []
    pairs = list(taken.items())
    for index in rng.permutation(len(pairs)):
        (i, j), (same, kind) = pairs[index]
        if rng.random() < 0.5:
            i, j = j, i
        similarity = None if embeddings is None else float(embeddings[i] @ embeddings[j])
        rows.append((ids[i], ids[j], same, similarity, kind))
    frame = pd.DataFrame(rows, columns=SCHEMA.names)
    return frame.astype({"same_class": bool, "similarity": "float32"})
