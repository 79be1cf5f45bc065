"""The SAGA trainer (METHOD section 4, the paper's Algorithm 1).

One optimizer step:

A. a class-balanced micro-batch goes through the tower; L_DML on its pooled embeddings;
B. without gradient, pairs of it are rolled out and judged; more micro-batches follow (each with its
   own L_DML) until K pairs contribute or `max_rounds` is reached;
C. the kept completions are replayed with gradient into the tokens (L_GRPO), and where the verdict was
   right the supervisor's attention teaches the pooler (L_KL); the gathered token gradients go back
   through the tower; clip; one AdamW step.

L_DML reaches θ, φ and the proxies; L_GRPO reaches θ alone; L_KL reaches φ alone; ψ is never touched.
The norm of each term's gradient is logged by itself, before weights and clipping.

Deviations from the paper: micro-batches of one step average their L_DML, since their number is known
only afterwards; the encoder's tokens are computed once per micro-batch and used in A, B and C.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from saga.data.augment import augment
from saga.data.batches import ImageStore
from saga.data.manifest import DatasetManifest
from saga.encoders.poolers import build_pooler
from saga.encoders.retriever import Retriever
from saga.encoders.tuning import prepare_tower
from saga.files import digest_of
from saga.losses.metric import build_metric_loss
from saga.mining.batching import PairGuidedSampler
from saga.mining.pairs import PairSet
from saga.supervisors.checkpoint import choose_device, load_checkpoint
from saga.supervisors.configuration import SupervisorConfig
from saga.supervisors.prompts import load_prompt
from saga.supervisors.supervisor import Supervisor
from saga.supervisors.truth import (
    Values,
    attribute_values,
    description_accuracy,
    known_values,
    true_completions,
)
from saga.training.arm import ArmConfig, check_arm
from saga.training.buffer import Buffer
from saga.training.diagnosis import CollapseWatch, embedding_metrics
from saga.training.history import TrainingHistory
from saga.training.microbatch import MicroBatch, leaf_of, through_tower
from saga.training.optimizer import (
    Gradients,
    Parameters,
    add_scaled,
    build_optimizer,
    clip,
    norm,
    schedule,
    set_rates,
)
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
from saga.training.terms import (
    Teachers,
    alignment_gradients,
    oracle_gradients,
    policy_gradients,
    query_subjects,
    teachers_of,
    with_queries,
)

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
            inputs found there is continued.
        progress: called after every step.
        provenance: further digests to record in the encoder.

    Raises:
        UserInputError: if configuration, data and supervisor do not fit together.
    """
    trainer = Trainer(config, manifest, pairs)
    key = digest_of(
        {"arm": asdict(config), "manifest": manifest.digest, "pairs": pairs.digest}
        | {"supervisor": trainer.supervisor_digest}
    )
    if checkpoint_folder is not None:
        if state := load_state(checkpoint_folder, key):
            trainer.restore(state)
        sweep(checkpoint_folder)
    resumed_at, started = trainer.steps_done, time.monotonic()
    every = config.training.checkpoint_every
    while not trainer.finished:
        metrics = trainer.step()
        if progress is not None:
            seconds = time.monotonic() - started
            progress(
                Progress(
                    config.name, trainer.steps_done, trainer.steps, seconds, resumed_at, metrics
                )
            )
        due = every and (trainer.steps_done % every == 0 or trainer.finished)
        if checkpoint_folder is not None and due:
            save_state(checkpoint_folder, trainer.state(), key)
    return trainer.retriever(provenance or {}), trainer.history()


def untrained_retriever(config: SupervisorConfig) -> Retriever:
    """The tower as it comes with the supervisor, mean-pooled: METHOD section 7's "tower as is"."""
    from saga.encoders.configuration import PoolerConfig

    loaded = load_checkpoint(config)
    pooler = build_pooler(PoolerConfig(kind="mean"), loaded.tower.width)
    provenance = {"arm": "pretrained", "supervisor": loaded.digest}
    return Retriever(loaded.tower, pooler, loaded.preprocessor, provenance)


class Trainer:
    """One arm between two steps; `step` takes it to the next."""

    def __init__(self, config: ArmConfig, manifest: DatasetManifest, pairs: PairSet) -> None:
        check_arm(config)
        self.config, self.settings = config, config.training
        self.manifest_digest, self.pairs_digest = manifest.digest, pairs.digest
        torch.manual_seed(self.settings.seed)
        self.device = choose_device(config.supervisor.device)
        loaded = load_checkpoint(config.supervisor)
        self.supervisor_digest = loaded.digest
        self.preprocessor = loaded.preprocessor
        self.tower = prepare_tower(loaded.tower, config.encoder).to(self.device)
        pooler = with_queries(config.encoder.pooler, config.supervisor.prompt)
        self.pooler = build_pooler(pooler, self.tower.width).to(self.device)
        frame = manifest.training()
        self.truth: list[Values] = []
        self.supervisor = None
        self.subjects: list[list[int]] = []
        if self.settings.weights.supervised:
            prompt = load_prompt(config.supervisor.prompt)
            self.supervisor = Supervisor(loaded, prompt, config.supervisor)
            oracle = self.settings.weights.oracle > 0
            self.truth = attribute_values(frame) if oracle else known_values(frame, prompt)
            if self.settings.weights.kl > 0:
                self.subjects = query_subjects(pooler, prompt)

        classes, labels = np.unique(frame["class_id"].to_numpy(), return_inverse=True)
        self.labels = torch.from_numpy(labels).long()
        self.store = ImageStore(manifest, frame, config.limits, loaded.preprocessor)
        self.sampler = PairGuidedSampler(
            labels.tolist(),
            frame["image_id"].tolist(),
            pairs,
            self.settings.classes_per_batch,
            self.settings.images_per_class,
            self.settings.pairs_per_round,
            self.settings.seed,
        )
        self.metric_loss = build_metric_loss(
            self.settings.metric_loss, len(classes), self.pooler.embedding_dim, self.settings.seed
        ).to(self.device)
        self.parameters = self._parameters()
        self.optimizer = build_optimizer(self.parameters, self.settings.optimizer)
        batch = self.settings.classes_per_batch * self.settings.images_per_class
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
        started = time.monotonic()
        share = schedule(self.steps_done, self.steps, self.settings.optimizer.warmup_fraction)
        set_rates(self.optimizer, share)
        metrics: Metrics = {"step": self.steps_done + 1, "schedule": share}
        micros, buffer = self._gather()
        self.optimizer.zero_grad(set_to_none=True)
        weights = self.settings.weights
        metrics |= self._weighed(self._metric_term(micros), weights.dml)
        if self.supervisor is not None:
            if weights.judged:
                metrics |= buffer.metrics() | {"rollout/rounds": float(len(micros))}
            teachers = teachers_of(buffer, self.settings) if weights.kl and weights.grpo else None
            metrics |= self._weighed(self._policy_term(buffer, teachers), weights.grpo)
            metrics |= self._alignment_term(buffer, teachers)
            metrics |= self._weighed(self._oracle_term(micros), weights.oracle)
        metrics["gradient/total"] = clip(self.parameters, self.settings.optimizer)
        finite = all(np.isfinite(v) for v in metrics.values()) and all(m.finite for m in micros)
        if finite:
            self.optimizer.step()
        self.steps_done += 1
        contributing = metrics.get("rollout/contributing")
        self.watch.observe(metrics["embedding/spread"], contributing, finite)
        metrics["seconds"] = time.monotonic() - started
        self.rows.append({k: v if np.isfinite(v) else None for k, v in metrics.items()})
        return metrics

    def encoder_gradients(self) -> dict[str, Tensor]:
        """θ's gradient of each term that has a weight, at the next batch; no weight is changed.

        Returns:
            by term ("dml", "grpo", "oracle"), before weights and clipping, flat; a term that had
            nothing to teach is left out.
        """
        micros, buffer = self._gather()
        found = {"dml": self._metric_term(micros)}
        if self.supervisor is not None:
            found |= {"grpo": self._policy_term(buffer), "oracle": self._oracle_term(micros)}
        return {name: term.sums.encoder_flat() for name, term in found.items() if term.sums}

    def _weighed(self, term: "_Term", weight: float) -> Metrics:
        """Put a term's gradients, times its weight, into the parameters."""
        if term.sums is not None:
            term.sums.into_parameters(weight)
        return term.metrics

    # Phases A and B ----------------------------------------------------------------------------

    def _gather(self) -> tuple[list[MicroBatch], Buffer]:
        """Micro-batches through the tower, rolled out until the buffer is full or tries run out."""
        buffer = Buffer(self.settings.contributing_pairs)
        micros: list[MicroBatch] = []
        judged = self.settings.weights.judged
        rounds = self.settings.max_rounds if judged else 1
        while len(micros) < rounds and not (micros and buffer.full):
            micro = self._encode(*self.sampler.next_batch(), len(micros))
            # Of tokens that are no numbers nothing can be sampled; the step will say so.
            if judged and micro.pairs and micro.finite:
                self._roll_out(micro, len(micros), buffer)
            micros.append(micro)
        return micros, buffer

    def _encode(
        self, indices: list[int], pairs: list[tuple[int, int, bool]], number: int
    ) -> MicroBatch:
        pixels = self.store.pixels(indices)
        pixels = augment(
            pixels,
            [self.settings.seed, 6, self.steps_done, number],
            flip=self.settings.flip,
            crop_scale=self.settings.crop_scale,
            jitter=self.settings.jitter,
        )
        pixels = pixels.to(self.device)
        with self._autocast(), torch.set_grad_enabled(bool(self.parameters.encoder)):
            # Nobody knows how many refills there will be, so they do not keep their graphs: the
            # backward computes them again, with the same random numbers.
            if number == 0:
                tokens = self.tower(pixels)
            else:
                tokens = checkpoint(self.tower, pixels, use_reentrant=False)
        return MicroBatch(
            tokens, leaf_of(tokens), self.labels[indices].to(self.device), pairs, indices
        )

    def _roll_out(self, micro: MicroBatch, number: int, buffer: Buffer) -> None:
        assert self.supervisor is not None
        first, second, same = micro.pair_tensors()
        tokens = micro.leaf.detach()
        seeds = [self._seed(number, p) for p in range(len(first))]
        with self._autocast():
            verdicts = self.supervisor.judge(
                tokens.index(first),
                tokens.index(second),
                same.tolist(),
                self.settings.rollout,
                seeds,
            )
        buffer.add(micro, verdicts)
        if self.truth:
            buffer.accuracy.append(description_accuracy(verdicts.answers, self._true_pairs(micro)))

    def _true_pairs(self, micro: MicroBatch) -> list[tuple[Values, Values]]:
        """True values of both images of each of a batch's pairs."""
        return [(self.truth[micro.rows[a]], self.truth[micro.rows[b]]) for a, b, _ in micro.pairs]

    def _seed(self, number: int, pair: int) -> int:
        """Seed of one pair's rollouts: depends on the run's seed, step, round and pair alone."""
        text = f"{self.settings.seed}/{self.steps_done}/{number}/{pair}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")

    # The three terms ---------------------------------------------------------------------------

    def _metric_term(self, micros: list[MicroBatch]) -> "_Term":
        """L_DML over each micro-batch, averaged; θ, φ and proxies."""
        scale = 1 / len(micros)
        sums = _GradientSum(self.parameters)
        losses, figures = [], {}
        for micro in micros:
            with self._autocast():
                pooled = self.pooler(micro.leaf.tokens_BND)
            figures = embedding_metrics(pooled.embedding_BE.detach(), micro.labels_B)
            if self.settings.weights.dml == 0:
                continue
            loss, _ = self.metric_loss(pooled.embedding_BE, micro.labels_B)
            losses.append(float(loss.detach()))
            grads = torch.autograd.grad(
                loss, [micro.leaf.tokens_BND, *self.parameters.head], allow_unused=True
            )
            sums.add_head(list(grads[1:]), scale)
            sums.add_encoder(through_tower(micro, [grads[0]], self.parameters.encoder), scale)
        if not losses:
            return _Term(figures)
        figures |= {
            "loss/dml": float(np.mean(losses)),
            "gradient/theta_dml": norm(sums.encoder),
            "gradient/phi_dml": norm(sums.head[: len(self.parameters.pooler)]),
        }
        return _Term(figures, sums)

    def _policy_term(self, buffer: Buffer, teachers: Teachers | None = None) -> "_Term":
        """L_GRPO over all kept completions; θ alone. The same replay shows where to look."""
        assert self.supervisor is not None
        if self.settings.weights.grpo == 0 or not buffer.kept:
            return _Term({})
        sums = _GradientSum(self.parameters)
        totals: dict[str, float] = {}
        for held in buffer.rounds:
            with self._autocast():
                part, gradients = policy_gradients(
                    self.supervisor, held, self.settings, buffer.tokens, teachers
                )
            sums.add_encoder(through_tower(held.micro, gradients, self.parameters.encoder), 1.0)
            for name, value in part.items():
                totals[name] = totals.get(name, 0.0) + value
        return _Term(totals | {"gradient/theta_grpo": norm(sums.encoder)}, sums)

    def _alignment_term(self, buffer: Buffer, teachers: Teachers | None) -> Metrics:
        """L_KL on the kept pairs' right completions; φ alone."""
        assert self.supervisor is not None
        if self.settings.weights.kl == 0 or not buffer.kept:
            return {}
        with self._autocast():
            metrics, gradients = alignment_gradients(
                self.supervisor,
                self.pooler,
                buffer,
                self.settings,
                self.parameters.pooler,
                self.subjects,
                teachers,
            )
        add_scaled(self.parameters.pooler, gradients, self.settings.weights.kl)
        return metrics | {"gradient/phi_kl": norm(gradients)}

    def _oracle_term(self, micros: list[MicroBatch]) -> "_Term":
        """Likelihood of the true descriptions of all pairs; θ alone. The study's ceiling."""
        assert self.supervisor is not None
        usable = [micro for micro in micros if micro.pairs and micro.finite]
        if self.settings.weights.oracle == 0 or not usable:
            return _Term({})
        sums = _GradientSum(self.parameters)
        tokenizer, prompt = self.supervisor.backbone.tokenizer, self.supervisor.prompt
        answers = [true_completions(tokenizer, prompt, self._true_pairs(m)) for m in usable]
        tokens = sum(int(of_micro.lengths_PG.sum()) for of_micro in answers)
        total = 0.0
        for micro, of_micro in zip(usable, answers):
            with self._autocast():
                part, gradients = oracle_gradients(
                    self.supervisor, micro, of_micro, self.settings, tokens
                )
            sums.add_encoder(through_tower(micro, gradients, self.parameters.encoder), 1.0)
            total += part
        return _Term({"loss/oracle": total, "gradient/theta_oracle": norm(sums.encoder)}, sums)

    # State ---------------------------------------------------------------------------------------

    def state(self) -> TrainingState:
        """Everything the next step depends on."""
        tensors = {f"parameter.{i}": p for i, p in enumerate(self.parameters.all)}
        buffers = {f"buffer.{n}": b for n, b in self.metric_loss.named_buffers()}
        return TrainingState(
            self.steps_done,
            tensors | buffers | optimizer_tensors(self.optimizer) | random_tensors(),
            {
                "sampler": self.sampler.state_dict(),
                "rows": self.rows,
                "watch": [self.watch.flat_steps, self.watch.barren_steps, self.watch.reason],
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
        self.sampler.load_state_dict(state.values["sampler"])
        self.rows = list(state.values["rows"])
        self.watch.flat_steps, self.watch.barren_steps, self.watch.reason = state.values["watch"]
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
        import pandas as pd

        # Sorted: rows that come from a checkpoint's JSON have lost their own order.
        columns = ["step", *sorted(set().union(*self.rows) - {"step"})]
        frame = pd.DataFrame(self.rows, columns=columns)
        summary: dict[str, Any] = {
            "arm": self.config.name,
            "steps": self.steps_done,
            "planned_steps": self.steps,
            "seed": self.settings.seed,
            "seconds": float(frame["seconds"].sum()),
            "stopped_early": self.watch.reason,
        }
        if "rollout/reward" in frame:
            reward = frame["rollout/reward"].dropna()
            ten = max(1, min(10, len(reward) // 2))
            summary |= {
                "contributing_share": float(frame["rollout/contributing"].mean()),
                "reward_first": float(reward.head(ten).mean()),
                "reward_last": float(reward.tail(ten).mean()),
                "parsed_share": float(frame["rollout/parsed"].mean()),
            }
            if "accuracy/all" in frame:
                accuracy = frame["accuracy/all"].dropna()
                summary |= {
                    "accuracy_first": float(accuracy.head(ten).mean()),
                    "accuracy_last": float(accuracy.tail(ten).mean()),
                }
        return TrainingHistory(frame, summary)

    def _parameters(self) -> Parameters:
        trained = [p for p in self.tower.parameters() if p.requires_grad]
        if self.settings.optimizer.encoder_lr == 0:
            trained = []
        return Parameters(
            trained,
            [p for p in self.pooler.parameters() if p.requires_grad],
            list(self.metric_loss.proxy_parameters()),
        )

    def _autocast(self) -> torch.autocast:
        enabled = self.settings.autocast == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)


class _GradientSum:
    """Sums one term's gradients over micro-batches, so that its norm can be logged by itself."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self.encoder: list[Tensor | None] = [None] * len(parameters.encoder)
        self.head: list[Tensor | None] = [None] * len(parameters.head)

    def add_encoder(self, gradients: Gradients, scale: float) -> None:
        self.encoder = [_added(s, g, scale) for s, g in zip(self.encoder, gradients, strict=True)]

    def add_head(self, gradients: Gradients, scale: float) -> None:
        self.head = [_added(s, g, scale) for s, g in zip(self.head, gradients, strict=True)]

    def into_parameters(self, weight: float) -> None:
        add_scaled(self._parameters.encoder, self.encoder, weight)
        add_scaled(self._parameters.head, self.head, weight)

    def encoder_flat(self) -> Tensor:
        """θ's gradient as one vector; zeros where none arrived."""
        gradients = zip(self._parameters.encoder, self.encoder)
        return torch.cat(
            [(torch.zeros_like(p) if g is None else g).flatten() for p, g in gradients]
        )


@dataclass(frozen=True, slots=True)
class _Term:
    """Figures of one loss term and its gradients, not yet weighed."""

    metrics: Metrics
    sums: _GradientSum | None = None
    """None where there was nothing to learn from."""


def _added(total: Tensor | None, gradient: Tensor | None, scale: float) -> Tensor | None:
    if gradient is None:
        return total
    scaled = gradient.detach() * scale
    return scaled if total is None else total + scaled
