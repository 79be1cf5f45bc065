"""Why the arms of a study differ: probes of their encoders, and what the verdicts' gradient points at.

`saga study CONFIG --explain` measures every arm whose tower was trained (and the untrained tower) on
unseen classes, and trains the arms with verdicts once more to probe them on the way. Nothing here is
used to choose anything.
"""

import itertools
import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from joblib import Parallel, delayed
from torch import Tensor

from saga.data.manifest import DatasetManifest
from saga.encoders.retriever import Retriever
from saga.encoders.tower import VisionTokens, VisionTower
from saga.errors import UserInputError
from saga.mining.pairs import PairSet
from saga.studies.cell import cell_manifest, mined
from saga.studies.cells import Cell, CellConfig, arm_config
from saga.studies.probes import (
    Birds,
    agreement,
    attribute_places,
    descriptions,
    haze_share,
    token_change,
    tokens_of,
    unseen_birds,
)
from saga.studies.store import ENCODER, CellStore
from saga.supervisors.checkpoint import load_checkpoint
from saga.supervisors.prompts import load_prompt
from saga.supervisors.supervisor import Supervisor
from saga.training.configuration import LossWeights
from saga.training.trainer import Trainer

Facts = dict[str, Any]
SIZES = (16, 64, 192)
"""Pairs whose gradients are compared."""
REPEATS = 5
"""Batches for each size."""
PROBED_EVERY = 20
"""Steps of a training between two probes."""
IMAGES = 4
"""Of each unseen class, or fewer where it has fewer."""
SEED = 7
"""Of the probes' rollouts."""


def explain(
    cells: list[Cell],
    store: CellStore,
    data: Path,
    jobs: int,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Facts]:
    """All probes of a study's whole cells.

    Args:
        cells: the study's.
        store: where they are.
        data: cache of drawn datasets.
        jobs: processes, one thread each.
        report: called with (tasks done, tasks).

    Returns:
        by regime: `encoders` (by arm, "untrained" first: a list of `saga.studies.probes`' figures, one
        per seed), `cosines` (of the first seed, by number of pairs) and `along` (of the first seed, by
        arm with verdicts).

    Raises:
        UserInputError: if no cell is whole, the data are not drawn, or a prompt asks for no attributes.
    """
    whole = [cell for cell in cells if store.has(cell) and _moves(cell.config)]
    if not whole:
        raise UserInputError(
            "--explain probes the encoders of a study that has been run, and none of its trained "
            "cells is whole. Run the study first."
        )
    tasks = list(_tasks(whole, store, data))
    found: dict[str, Facts] = {}
    run = Parallel(jobs, return_as="generator")(delayed(_done)(*task[2:]) for task in tasks)
    for done, ((regime, place, *_), outcome) in enumerate(zip(tasks, run), start=1):
        facts = found.setdefault(regime, {"encoders": {}, "cosines": {}, "along": {}})
        if place == "encoders":
            for arm, figures in outcome.items():
                facts["encoders"].setdefault(arm, []).append(figures)
        elif place == "cosines":
            facts["cosines"] = outcome
        else:
            facts["along"][place] = outcome
        report(done, len(tasks))
    return found


def _tasks(whole: list[Cell], store: CellStore, data: Path) -> Iterator[tuple[Any, ...]]:
    """(regime, place in the result, function, its arguments), the longest first."""
    first: dict[tuple[str, str], Cell] = {}
    for cell in whole:
        first.setdefault((cell.regime, cell.arm), cell)
    for (regime, arm), cell in first.items():
        if cell.config.training.weights.grpo > 0:
            yield regime, arm, along_training, cell.config, arm, data, PROBED_EVERY
    for regime in dict.fromkeys(cell.regime for cell in whole):
        here = sorted((c for c in whole if c.regime == regime), key=lambda cell: cell.arm)
        yield regime, "cosines", _first_cosines, here[0].config, data
        for seed in sorted({cell.seed for cell in here}):
            folders = {c.arm: store.folder(c) / ENCODER for c in here if c.seed == seed}
            config = next(cell.config for cell in here if cell.seed == seed)
            yield regime, "encoders", probed, config, folders


def _moves(config: CellConfig) -> bool:
    """Whether training moves the tower."""
    rate = config.training.optimizer.encoder_lr
    return config.of == "train" and config.encoder.tuning != "frozen" and rate > 0


def _done(function: Callable[..., Any], *arguments: Any) -> Any:
    torch.set_num_threads(1)
    return function(*arguments)


def _first_cosines(config: CellConfig, data: Path) -> dict[str, Facts]:
    manifest = cell_manifest(config, data, lambda *_: None)
    return gradient_cosines(config, manifest, mined(config, manifest), SIZES, REPEATS)


def probed(config: CellConfig, encoders: dict[str, Path]) -> dict[str, Facts]:
    """Probes of some encoders of one regime and seed, and of the untrained tower.

    Args:
        config: any of their cells: data, supervisor, rollouts.
        encoders: folder of each arm's encoder.

    Returns:
        by arm, "untrained" first, what `saga.studies.probes` measures.

    Raises:
        UserInputError: if the data are not drawn, or the prompt asks for no attributes.
    """
    probe = _Probe(config)
    found = {"untrained": probe.measure(probe.tower)}
    for arm, folder in encoders.items():
        found[arm] = probe.measure(Retriever.load(folder).tower)
    return found


def gradient_cosines(
    config: CellConfig,
    manifest: DatasetManifest,
    pairs: PairSet,
    sizes: tuple[int, ...],
    repeats: int,
) -> dict[str, Facts]:
    """How alike the terms' gradients of the untrained encoder are, by number of pairs.

    The oracle's gradient, of the true descriptions of the same pairs, is what the verdicts' would be at
    best.

    Args:
        config: data, encoder, batches, rollouts; its weights play no part.
        manifest: the data.
        pairs: mined pairs.
        sizes: numbers of pairs.
        repeats: batches for each.

    Returns:
        by number of pairs: mean cosines "grpo-oracle", "dml-oracle", "dml-grpo" and each batch's.
    """
    weights = LossWeights(dml=1, grpo=1, kl=0, oracle=1)
    found = {}
    for size in sizes:
        training = replace(
            config.training,
            weights=weights,
            pairs_per_round=size,
            contributing_pairs=size,
            max_rounds=1,
        )
        arm = arm_config(replace(config, training=training), "probe")
        trainer = Trainer(arm, manifest, pairs)
        found[str(size)] = _means([_cosines(trainer) for _ in range(repeats)])
    return found


def along_training(config: CellConfig, arm: str, data: Path, every: int) -> list[Facts]:
    """Train an arm once more and probe it before the first step and after every `every`.

    The probes draw no random numbers of the training, which therefore is the cell's own.

    Returns:
        at each of those steps: reward and true values on unseen classes, cosines at the arm's own
        number of pairs, and the figures of the step itself.
    """
    probe = _Probe(config)
    manifest = cell_manifest(config, data, lambda *_: None)
    pairs = mined(config, manifest)
    trainer = Trainer(arm_config(config, arm), manifest, pairs)
    rows: list[Facts] = []
    metrics: Facts = {}
    while True:
        if trainer.steps_done % every == 0 or trainer.finished:
            tokens = tokens_of(trainer.tower, trainer.preprocessor, probe.birds.images)
            _, told = descriptions(probe.supervisor, tokens, probe.birds, probe.rollout, SEED)
            rows.append({"step": trainer.steps_done, "unseen": told, "training": metrics})
        if trainer.finished:
            return rows
        metrics = trainer.step()


class _Probe:
    """Birds of one data seed, the supervisor, and the untrained tower's tokens of them."""

    def __init__(self, config: CellConfig) -> None:
        if config.dataset.layout != "synthetic":
            raise UserInputError(
                "--explain needs images with true attribute values and twins without haze: only the "
                f"synthetic layout has them, and dataset.layout is {config.dataset.layout}."
            )
        prompt = load_prompt(config.supervisor.prompt)
        if not prompt.attributes:
            raise UserInputError(
                f"--explain needs a prompt with attributes; {prompt.name} asks for none."
            )
        loaded, drawn = load_checkpoint(config.supervisor), config.dataset.synthetic
        self.birds: Birds = unseen_birds(drawn, min(IMAGES, drawn.images_per_class // 2 * 2))
        self.hazy = drawn.haze > 0
        self.rollout = config.training.rollout
        self.tower: VisionTower = loaded.tower
        self.preprocessor = loaded.preprocessor
        self.supervisor = Supervisor(loaded, prompt, config.supervisor)
        self.before: VisionTokens = tokens_of(self.tower, self.preprocessor, self.birds.images)

    @cached_property
    def places(self) -> Tensor:
        """Where the supervisor looks through the untrained tower."""
        verdicts, _ = descriptions(self.supervisor, self.before, self.birds, self.rollout, SEED)
        return attribute_places(self.supervisor, self.before, self.birds, verdicts)

    def measure(self, tower: VisionTower) -> Facts:
        """All probes of one tower."""
        tokens = tokens_of(tower, self.preprocessor, self.birds.images)
        _, told = descriptions(self.supervisor, tokens, self.birds, self.rollout, SEED)
        change = token_change(self.before.tokens_BND, tokens.tokens_BND, self.places)
        names = self.supervisor.prompt.attributes
        found = told | {
            "token_change": change["all"],
            "token_change_by_attribute": dict(zip(names, change["by_attribute"])),
        }
        if not self.hazy:
            return found
        clear = tokens_of(tower, self.preprocessor, self.birds.clear)
        _, without = descriptions(self.supervisor, clear, self.birds, self.rollout, SEED)
        alike = agreement(self.supervisor, tokens, clear, self.rollout, SEED)
        return found | {
            "without_haze": without,
            "agreement": statistics.fmean(alike.values()) if alike else None,
            "agreement_by_attribute": alike,
            "haze_share": haze_share(tokens.tokens_BND, clear.tokens_BND),
        }


def _cosines(trainer: Trainer) -> dict[str, float]:
    """Of every two terms that had something to teach at the next batch."""
    gradients = trainer.encoder_gradients()
    return {
        f"{a}-{b}": float(F.cosine_similarity(gradients[a], gradients[b], 0))
        for a, b in itertools.combinations(gradients, 2)
    }


def _means(batches: list[dict[str, float]]) -> Facts:
    names = dict.fromkeys(name for batch in batches for name in batch)
    each = {name: [batch[name] for batch in batches if name in batch] for name in names}
    return {"mean": {n: statistics.fmean(v) for n, v in each.items()}, "per_batch": each}
