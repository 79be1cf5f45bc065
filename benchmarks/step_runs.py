"""One model and one dataset on which a SAGA step is run: our way, the naive way, and DML alone.

Shapes: P pairs, G group size.
"""

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from torch import Tensor

from benchmarks.birds import drawn_at_random, drawn_birds
from benchmarks.floor import Language, Tower, Work
from benchmarks.machine import synchronise
from benchmarks.naive_step import NaiveStep, Step
from benchmarks.presets import Preset
from benchmarks.scripted import FixedPieces, forced_lengths, padded, scripted
from saga.losses.grpo import contributing_pairs
from saga.supervisors.checkpoint import Checkpoint
from saga.supervisors.decoding import PieceDecoder
from saga.supervisors.supervisor import Verdicts
from saga.training.buffer import Buffer
from saga.training.configuration import LossWeights
from saga.training.microbatch import MicroBatch
from saga.training.trainer import Trainer

MORE_CLASSES = 4
"""Classes beside those of a batch."""
TRIES = 10
"""Batches in which a pair that contributes is looked for."""
Seen = list[tuple[MicroBatch, Verdicts]]


@dataclass(frozen=True, slots=True)
class Run:
    """One step, timed."""

    seconds: float
    phases: dict[str, float]
    """Seconds; the tower's forward and backward together."""
    generated: int
    """Tokens sampled."""


class Bench:
    """Everything that the ways of doing a step share."""

    def __init__(
        self, preset: Preset, device: str, folder: Path, checkpoint: Checkpoint | None = None
    ) -> None:
        """Draw the images and make the model.

        Args:
            preset: sizes.
            device: "cpu" or "cuda".
            folder: for the images.
            checkpoint: a model that is there already; its tower is copied.
        """
        self.preset, self.device = preset, device
        self.checkpoint = checkpoint or preset.checkpoint(device)
        self.checkpoint.tower.cpu()  # only copies of it are run
        classes = preset.classes_per_batch + MORE_CLASSES
        self.manifest = drawn_birds(folder, preset.image_size, classes, preset.images_per_class)
        self.lengths_PG: Tensor | None = None
        if preset.completion:
            longest = preset.max_new_tokens
            self.lengths_PG = forced_lengths(preset.pairs, preset.group, preset.completion, longest)
        self.trainer = self._trainer(LossWeights())
        supervisor = self.trainer.supervisor
        assert supervisor is not None
        self.supervisor = supervisor
        vocabulary = supervisor.backbone.language.embed_tokens.num_embeddings
        self.own_prompt = len(supervisor.prefix)
        supervisor.prefix = padded(supervisor.prefix, preset.prompt, vocabulary)
        if preset.completion:
            supervisor._decoder = FixedPieces()  # type: ignore[assignment]

    def ours(self) -> tuple[Run, Step]:
        """A step of the trainer, and what it worked on."""
        with recording() as seen, scripted(self.lengths_PG):
            run = self._timed(self.trainer)
        generated = sum(int(v.completions.lengths_PG.sum()) for _, v in seen)
        return replace(run, generated=generated), self.step_of(seen)

    def metric_only(self) -> Trainer:
        """A trainer of the same settings with the metric loss alone."""
        return self._trainer(LossWeights(dml=1.0, grpo=0.0, kl=0.0))

    def metric_step(self, trainer: Trainer) -> float:
        """Seconds of a step of `metric_only`."""
        return self._timed(trainer).seconds

    def naive(self) -> NaiveStep:
        """The naive way, from the trainer's present weights."""
        decoder: Any = FixedPieces()
        if not self.preset.completion:
            decoder = PieceDecoder(self.supervisor.backbone.tokenizer)
        naive = NaiveStep(self.trainer, decoder)
        naive.clock.synchronise = True
        return naive

    def gradients(self, pairs: int | None = None) -> tuple[Tensor, Step]:
        """L_GRPO's gradient of θ as the trainer computes it at the next batch, and that batch.

        Args:
            pairs: the first ones may contribute, the others do not; None lets all.

        Raises:
            RuntimeError: if no pair contributes in several batches.
        """
        for _ in range(TRIES):
            with recording(pairs) as seen, scripted(self.lengths_PG):
                found = self.trainer.encoder_gradients()
            if "grpo" in found:
                return found["grpo"], self.step_of(seen)
        raise RuntimeError(f"no pair contributed in {TRIES} batches")

    def step_of(self, seen: Seen) -> Step:
        """What the naive step needs to do the same."""
        [(micro, verdicts)] = seen
        pixels = self.trainer.store.pixels(micro.rows).to(self.trainer.device)
        chosen = contributing_pairs(verdicts.rewards_PG).nonzero()[:, 0]
        kept = [micro.pairs[int(p)][:2] for p in chosen]
        return Step(pixels, micro.labels_B, micro.pairs, kept, verdicts.select(chosen))

    def work(self, step: Step) -> Work:
        """The least there is to do in a step, for the floor."""
        lengths = self.lengths_PG
        kept = step.verdicts.completions.lengths_PG.tolist()
        return Work(
            len(self.supervisor.prefix),
            kept if lengths is None else lengths.tolist(),
            len(step.pixels_B3SS),
            self.preset.image_size,
            kept,
        )

    def shapes(self) -> tuple[Language, Tower]:
        """Of the model, for the floor."""
        config = self.supervisor.backbone.config
        each = self.supervisor.backbone.language.embed_tokens.weight.element_size()
        return Language.of(config.text_config, each), Tower.of(config.vision_config)

    def _trainer(self, weights: LossWeights) -> Trainer:
        """With a tower of its own."""
        tower = copy.deepcopy(self.checkpoint.tower)
        trainer = Trainer(
            self.preset.arm(self.device, weights),
            self.manifest,
            drawn_at_random(self.manifest),
            checkpoint=replace(self.checkpoint, tower=tower),
        )
        trainer.clock.synchronise = True
        return trainer

    def _timed(self, trainer: Trainer) -> Run:
        synchronise(self.device)
        began = time.perf_counter()
        trainer.step()
        synchronise(self.device)
        seconds = time.perf_counter() - began
        phases = dict(trainer.clock.seconds)
        phases["tower"] = phases.get("tower", 0.0) + phases.pop("backward", 0.0)
        return Run(seconds, phases, 0)


@contextmanager
def recording(pairs: int | None = None) -> Iterator[Seen]:
    """Notes every batch with its verdicts as it enters the buffer.

    Args:
        pairs: the first ones may contribute, the others do not; None lets all.
    """
    seen: Seen = []
    add = Buffer.add

    def spy(buffer: Buffer, micro: MicroBatch, verdicts: Verdicts, *parsed: Tensor) -> None:
        if pairs is not None:  # whose completions are all wrong teaches nothing
            rewards_PG = verdicts.rewards_PG.clone()
            rewards_PG[pairs:] = 0
            verdicts = replace(verdicts, rewards_PG=rewards_PG)
        seen.append((micro, verdicts))
        add(buffer, micro, verdicts, *parsed)

    with patch.object(Buffer, "add", spy):
        yield seen
