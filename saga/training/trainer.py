"""The SAGA trainer (METHOD section 4, the paper's Algorithm 1).

One optimizer step:

A. a class-balanced micro-batch goes through the tower; L_DML on its pooled embeddings;
B. without gradient, pairs of it are rolled out and judged; more micro-batches follow (each with its
   own L_DML) until K pairs contribute or `max_rounds` is reached (`gathering.py`);
C. the kept completions are replayed with gradient into the tokens (L_GRPO), and where the verdict was
   right the supervisor's attention teaches the pooler (L_KL); the gradients that all terms gathered on
   the tokens go back through the tower once; clip; one AdamW step.

L_DML reaches θ, φ and the proxies; L_GRPO reaches θ alone; L_KL reaches φ alone; ψ is never touched.
The norm of each term's gradient is logged by itself, before weights and clipping: of φ in every step,
of θ in every `term_norms_every`-th, since each costs a backward through the tower of its own.

In a process group (torchrun) the step is shared out over the ranks; see `ranks.py`.

Deviations from the paper: micro-batches of one step average their L_DML, since their number is known
only afterwards; the encoder's tokens are computed once per micro-batch and used in A, B and C.
"""

import signal
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saga.data.ahead import LookAhead
from saga.data.batches import ImageStore
from saga.data.configuration import LoadingConfig
from saga.data.manifest import DatasetManifest
from saga.encoders.poolers import build_pooler
from saga.encoders.retriever import Retriever
from saga.encoders.tuning import prepare_tower
from saga.errors import UserInputError
from saga.files import digest_of
from saga.losses.metric import build_metric_loss
from saga.mining.batching import PairGuidedSampler
from saga.mining.disagreement import PairChooser
from saga.mining.pairs import PairSet
from saga.supervisors.checkpoint import Checkpoint, choose_device, load_checkpoint
from saga.supervisors.configuration import SupervisorConfig
from saga.supervisors.prompts import load_prompt
from saga.supervisors.supervisor import Supervisor
from saga.supervisors.truth import Values, attribute_values, known_values
from saga.training.alignment import query_subjects, with_queries
from saga.training.arm import ArmConfig, check_arm
from saga.training.buffer import Buffer
from saga.training.configuration import DistributedConfig
from saga.training.diagnosis import CollapseWatch
from saga.training.gathering import Gatherer
from saga.training.graphs import GraphBudget
from saga.training.history import TrainingHistory, history_of
from saga.training.microbatch import MicroBatch
from saga.training.optimizer import (
    Parameters,
    add_scaled,
    build_optimizer,
    clip,
    norm,
    schedule,
    set_rates,
)
from saga.training.phases import PhaseClock
from saga.training.ranks import Ranks
from saga.training.state import (
    TrainingState,
    load_state,
    optimizer_tensors,
    random_tensors,
    restore_optimizer,
    restore_random,
    save_state,
    sweep,
)
from saga.training.step_terms import StepTerms
from saga.training.term import Term, encoder_gradients, flat
from saga.training.termination import postponed_termination

GIB = 1 << 30
LATELY = 20
"""Steps whose contributing pairs say how many batches the next step will need."""

Metrics = dict[str, float]


@dataclass(frozen=True, slots=True)
class Progress:
    """What a caller is told after each step."""

    arm: str
    step: int
    steps: int
    seconds: float
    """Since this call of `train` began."""
    resumed_at: int
    """Step at which this call began; 0 for a fresh run."""
    metrics: Metrics


def train(
    config: ArmConfig,
    manifest: DatasetManifest,
    pairs: PairSet,
    *,
    checkpoint_folder: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
    provenance: dict[str, Any] | None = None,
) -> tuple[Retriever, TrainingHistory]:
    """Train one arm and return the deployable encoder and its history.

    Args:
        config: the arm.
        manifest: the data; only its training rows are touched.
        pairs: mined pairs of training images.
        checkpoint_folder: where resumable checkpoints go; a checkpoint of the same configuration and
            inputs found there is continued. On SIGTERM the step under way is finished and saved
            before the process ends.
        progress: called after every step.
        provenance: further digests to record in the encoder.

    Raises:
        UserInputError: if configuration, data and supervisor do not fit together.
    """
    trainer = Trainer(config, manifest, pairs)
    ranks = trainer.ranks
    key = resume_key(config, manifest.digest, pairs.digest, trainer.supervisor_digest)
    if checkpoint_folder is not None:
        if state := load_state(checkpoint_folder, key):
            trainer.restore(state)
        ranks.wait()
        if ranks.first:
            sweep(checkpoint_folder)
    resumed_at, started = trainer.steps_done, time.monotonic()
    every = config.training.checkpoint_every
    with postponed_termination() as termination:
        while not trainer.finished:
            metrics = trainer.step()
            if progress is not None and ranks.first:
                seconds = time.monotonic() - started
                progress(
                    Progress(
                        config.name, trainer.steps_done, trainer.steps, seconds, resumed_at, metrics
                    )
                )
            due = every and (trainer.steps_done % every == 0 or trainer.finished)
            # All ranks are told to end, but hardly all within the same step.
            ending = bool(ranks.most(int(termination.asked)))
            if checkpoint_folder is not None and (due or ending):
                ranks.check_equal(trainer.parameters.all)
                if ranks.first:
                    save_state(checkpoint_folder, trainer.state(), key)
                ranks.wait()
            if ending:
                break
    if not trainer.finished:  # whoever handles SIGTERM here let the process live
        raise SystemExit(128 + signal.SIGTERM)
    ranks.check_equal(trainer.parameters.all)
    return trainer.retriever(provenance or {}), trainer.history()


def resume_key(config: ArmConfig, manifest: str, pairs: str, supervisor: str) -> str:
    """Digest of all that a checkpoint may be continued with.

    How images are read and over how many processes is no part of it.

    Args:
        config: the arm.
        manifest: digest of the data.
        pairs: digest of the pair set.
        supervisor: digest of the supervisor.
    """
    training = replace(config.training, loading=LoadingConfig(), distributed=DistributedConfig())
    return digest_of(
        {"arm": asdict(replace(config, training=training)), "manifest": manifest, "pairs": pairs}
        | {"supervisor": supervisor}
    )


def untrained_retriever(config: SupervisorConfig) -> Retriever:
    """The tower as it comes with the supervisor, mean-pooled: METHOD section 7's "tower as is"."""
    from saga.encoders.configuration import PoolerConfig

    loaded = load_checkpoint(config)
    pooler = build_pooler(PoolerConfig(kind="mean"), loaded.tower.width)
    provenance = {"arm": "pretrained", "supervisor": loaded.digest}
    return Retriever(loaded.tower, pooler, loaded.preprocessor, provenance)


class Trainer:
    """One arm between two steps; `step` takes it to the next."""

    def __init__(
        self,
        config: ArmConfig,
        manifest: DatasetManifest,
        pairs: PairSet,
        *,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        """An arm before its first step, as one rank of the process group where there is one.

        Args:
            config: the arm.
            manifest: the data; only its training rows are touched.
            pairs: mined pairs of training images.
            checkpoint: the supervisor, where it is in memory already; None loads the configured one.

        Raises:
            UserInputError: if configuration, data and supervisor do not fit together.
        """
        check_arm(config)
        self.config, self.settings = config, config.training
        self.clock = PhaseClock()
        self.ranks = Ranks.joined(self.clock)
        self.manifest_digest, self.pairs_digest = manifest.digest, pairs.digest
        torch.manual_seed(self.settings.seed)
        self.device = choose_device(config.supervisor.device)
        loaded = checkpoint or load_checkpoint(config.supervisor)
        self.supervisor_digest = loaded.digest
        self.preprocessor = loaded.preprocessor
        self.tower = prepare_tower(loaded.tower, config.encoder).to(self.device)
        pooler = with_queries(config.encoder.pooler, config.supervisor.prompt)
        self.pooler = build_pooler(pooler, self.tower.width).to(self.device)
        frame = manifest.training()
        truth: list[Values] = []
        self.supervisor = None
        self.subjects: list[list[int]] = []
        if self.settings.weights.supervised:
            prompt = load_prompt(config.supervisor.prompt)
            self.supervisor = Supervisor(loaded, prompt, config.supervisor)
            oracle = self.settings.weights.oracle > 0
            truth = attribute_values(frame) if oracle else known_values(frame, prompt)
            if self.settings.weights.kl > 0:
                self.subjects = query_subjects(pooler, prompt)

        classes, labels = np.unique(frame["class_id"].to_numpy(), return_inverse=True)
        batch = self.settings.classes_per_batch * self.settings.images_per_class
        _check_ranks(self.ranks, batch)
        self.store = ImageStore(
            manifest, frame, config.limits, loaded.preprocessor, self.settings.loading
        )
        self.chooser = PairChooser(self.settings.choice, labels.tolist())
        sampler = PairGuidedSampler(
            labels.tolist(),
            frame["image_id"].tolist(),
            pairs,
            self.settings.classes_per_batch,
            self.settings.images_per_class,
            self.chooser.candidates(self.settings.pairs_per_round),
            self.settings.seed,
        )
        self.batches = LookAhead(
            sampler,
            self.store,
            self.settings.loading.prefetch_batches,
            own=lambda rows: rows[self.ranks.block(len(rows))],
        )
        self.metric_loss = build_metric_loss(
            self.settings.metric_loss, len(classes), self.pooler.embedding_dim, self.settings.seed
        ).to(self.device)
        self.parameters = self._parameters()
        self.optimizer = build_optimizer(self.parameters, self.settings.optimizer)
        self.gatherer = Gatherer(
            self.settings,
            self.batches,
            self._pixels,
            GraphBudget(self.tower, int(self.settings.graph_gib * GIB)),
            torch.from_numpy(labels).long(),
            self.device,
            bool(self.parameters.encoder),
            self.supervisor,
            truth,
            self._autocast,
            self.clock,
            self.ranks,
            self.chooser,
            lambda tokens_BND: self.pooler(tokens_BND).embedding_BE,
            self._reference(),
        )
        self.terms = StepTerms(
            self.settings,
            self.parameters,
            self.pooler,
            self.metric_loss,
            self.supervisor,
            self.subjects,
            self._autocast,
            self.clock,
            self.ranks,
        )
        self.steps = self.settings.steps or max(
            1, round((self.settings.epochs or 0) * len(frame) / batch)
        )
        self.steps_done = 0
        self.rows: list[dict[str, float | None]] = []
        self.watch = CollapseWatch(self.settings.collapse)

    @property
    def finished(self) -> bool:
        """Whether all steps are done or training stopped early."""
        return self.steps_done >= self.steps or self.watch.reason is not None

    def step(self) -> Metrics:
        """One optimizer step; returns its metrics."""
        started, waited = time.monotonic(), self.store.waited_seconds
        self.clock.reset()
        self.ranks.begin(self.steps_done + 1)
        share = schedule(self.steps_done, self.steps, self.settings.optimizer.warmup_fraction)
        set_rates(self.optimizer, share)
        metrics: Metrics = {"step": self.steps_done + 1, "schedule": share}
        micros, buffer = self._gather()
        if self.settings.weights.judged:
            metrics |= buffer.metrics() | {"rollout/rounds": float(len(micros))}
        terms = self.terms.of(micros, buffer, self.gatherer.true_pairs)
        for term in terms:
            metrics |= term.metrics
        with self.clock("backward"):
            metrics |= self._term_norms(terms, micros)
            self._collect(terms, micros)
        with self.clock("optimizer"):
            metrics["gradient/total"] = clip(self.parameters, self.settings.optimizer)
            finite = all(np.isfinite(v) for v in metrics.values()) and all(m.finite for m in micros)
            if finite:
                self.optimizer.step()
        self.steps_done += 1
        contributing = metrics.get("rollout/contributing")
        self.watch.observe(metrics["embedding/spread"], contributing, finite)
        metrics |= {f"seconds/{phase}": spent for phase, spent in self.clock.seconds.items()}
        metrics["seconds/waited"] = self.store.waited_seconds - waited
        metrics["seconds"] = time.monotonic() - started
        waits = self.ranks.waits(metrics["seconds"])
        metrics |= {f"ranks/{name}": figure for name, figure in waits.items()}
        self.rows.append({k: v if np.isfinite(v) else None for k, v in metrics.items()})
        return metrics

    def encoder_gradients(self) -> dict[str, Tensor]:
        """θ's gradient of each term that has a weight, at the next batch; no weight is changed.

        Returns:
            by term ("dml", "grpo", "oracle"), before weights and clipping, flat; a term that had
            nothing to teach is left out.
        """
        micros, buffer = self._gather()
        terms = self.terms.of(micros, buffer, self.gatherer.true_pairs)
        return {
            term.name: flat(self._encoder_gradient(term, micros), self.parameters.encoder)
            for term in terms
            if term.taught and term.name != "kl"
        }

    def _gather(self) -> tuple[list[MicroBatch], Buffer]:
        """Phases A and B of the next step."""
        lately = [row.get("rollout/contributing") for row in self.rows[-LATELY:]]
        known = [share for share in lately if share is not None]
        return self.gatherer.gather(self.steps_done, float(np.mean(known)) if known else None)

    def _pixels(self, rows: list[int]) -> Tensor:
        return self.store.pixels(rows)

    def _collect(self, terms: list[Term], micros: list[MicroBatch]) -> None:
        """The weighted terms' gradients, in the parameters."""
        self.optimizer.zero_grad(set_to_none=True)
        weights = [term.weight for term in terms]
        of_encoder = encoder_gradients(terms, weights, micros, self.parameters, self.ranks)
        add_scaled(self.parameters.encoder, of_encoder, 1.0)
        for term in terms:
            if term.head:
                add_scaled(self.parameters.head, term.head, term.weight)

    def _term_norms(self, terms: list[Term], micros: list[MicroBatch]) -> Metrics:
        """Norm of θ's gradient of each term, in the steps in which it is measured."""
        every = self.settings.term_norms_every
        if not every or self.steps_done % every:
            return {}
        return {
            f"gradient/theta_{term.name}": norm(self._encoder_gradient(term, micros))
            for term in terms
            if term.taught and term.name != "kl"
        }

    def _encoder_gradient(self, term: Term, micros: list[MicroBatch]) -> list[Tensor | None]:
        return encoder_gradients([term], [1.0], micros, self.parameters, self.ranks, keep=True)

    # State ---------------------------------------------------------------------------------------

    def state(self) -> TrainingState:
        """Everything the next step depends on."""
        tensors = {f"parameter.{i}": p for i, p in enumerate(self.parameters.all)}
        buffers = {f"buffer.{n}": b for n, b in self.metric_loss.named_buffers()}
        return TrainingState(
            self.steps_done,
            tensors | buffers | optimizer_tensors(self.optimizer) | random_tensors(),
            {
                "sampler": self.batches.state_dict(),
                "chooser": self.chooser.state_dict(),
                "rows": self.rows,
                "watch": self.watch.state_dict(),
            },
        )

    @torch.no_grad()
    def restore(self, state: TrainingState) -> None:
        """Go on from a checkpoint of the same configuration and inputs."""
        for i, parameter in enumerate(self.parameters.all):
            parameter.copy_(state.tensors[f"parameter.{i}"])
        for name, buffer in self.metric_loss.named_buffers():
            buffer.copy_(state.tensors[f"buffer.{name}"])
        restore_optimizer(self.optimizer, state.tensors)
        restore_random(state.tensors)
        self.batches.load_state_dict(state.values["sampler"])
        self.chooser.load_state_dict(state.values["chooser"])
        self.rows = list(state.values["rows"])
        self.watch.load_state_dict(state.values["watch"])
        self.steps_done = state.step

    def retriever(self, provenance: dict[str, Any]) -> Retriever:
        """The deployable encoder: tower (LoRA merged) and pooler, without the language model."""
        from saga.encoders.tuning import finished_tower

        bound = {
            "arm": self.config.name,
            "config": digest_of(asdict(self.config)),
            "manifest": self.manifest_digest,
            "pairs": self.pairs_digest,
            "supervisor": self.supervisor_digest,
            "steps": self.steps_done,
            "seed": self.settings.seed,
        }
        return Retriever(
            finished_tower(self.tower), self.pooler, self.preprocessor, bound | provenance
        )

    def history(self) -> TrainingHistory:
        """Metrics of every step and what they come to."""
        facts = {
            "arm": self.config.name,
            "steps": self.steps_done,
            "planned_steps": self.steps,
            "seed": self.settings.seed,
            "stopped_early": self.watch.reason,
        }
        return history_of(self.rows, facts)

    def _parameters(self) -> Parameters:
        trained = [p for p in self.tower.parameters() if p.requires_grad]
        if self.settings.optimizer.encoder_lr == 0:
            trained = []
        return Parameters(
            trained,
            [p for p in self.pooler.parameters() if p.requires_grad],
            list(self.metric_loss.proxy_parameters()),
        )

    def _reference(self) -> torch.nn.Module | None:
        """A copy of the tower before its first step, where the policy is held to it."""
        if not (self.settings.reference_beta and self.settings.weights.grpo):
            return None
        return deepcopy(self.tower).requires_grad_(False).eval()

    def _autocast(self) -> torch.autocast:
        enabled = self.settings.autocast == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)


def _check_ranks(ranks: Ranks, batch: int) -> None:
    if batch < ranks.world:
        raise UserInputError(
            f"training.classes_per_batch × training.images_per_class is {batch} images, but "
            f"{ranks.world} processes share every batch. Each needs at least one: use fewer "
            "processes or larger batches."
        )
