"""Small datasets, pair sets, arms, and a supervisor whose answers are written for it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from saga.data.manifest import DatasetManifest, build_manifest
from saga.data.synthetic.attributes import independent_classes, values_of
from saga.data.synthetic.drawing import Scene, draw_bird
from saga.encoders.configuration import EncoderConfig, PoolerConfig
from saga.files import sha256_file
from saga.losses.configuration import MetricLossConfig
from saga.mining.configuration import MiningConfig
from saga.mining.miner import mine_pairs
from saga.mining.pairs import PairSet
from saga.supervisors.configuration import RolloutConfig, SupervisorConfig
from saga.supervisors.prompts import load_prompt
from saga.supervisors.rollout import Completions
from saga.training.arm import ArmConfig
from saga.training.configuration import LossWeights, OptimizerConfig, TrainingConfig

SHORT_PROMPT = """
domain: tests
item: bird
verdict_key: same
verdict_question: the same species
attributes: [bill, wing]
answer_keys: [bird_1, bird_2, same]
compact: true
template: compare
"""
"""Two attributes, so that an answer in bytes is short."""


WORDS = ("red", "long and thin", "b", "plain é")
"""Attribute values of several lengths; the last one has fewer characters than bytes."""


def made_birds(folder: Path, classes: int = 5, images: int = 5, size: int = 96) -> DatasetManifest:
    """Drawn birds under haze, as the embedded supervisor expects them; training classes alone."""
    rng = np.random.default_rng(11)
    rows = []
    for number, combination in enumerate(independent_classes(classes, rng, "train"), start=1):
        background = tuple(float(v) for v in rng.integers(40, 230, 3))
        for i in range(images):
            path = folder / f"{number}-{i}.png"
            scene = Scene(size, 0.5, background, haze=0.7)
            Image.fromarray(draw_bird(values_of(combination), rng, scene)).save(path)
            rows.append(
                {
                    "image_id": path.stem,
                    "path": path.name,
                    "sha256": sha256_file(path),
                    "class_id": number,
                    "class_name": f"class {number}",
                    "split": "train",
                    "width": size,
                    "height": size,
                    "mode": "RGB",
                }
            )
    return build_manifest(rows, name="made", layout="folders", root=folder)


def made_pairs(manifest: DatasetManifest, strategy: Any = "random", pairs: int = 20) -> PairSet:
    """Mined with random vectors in the place of embeddings."""
    frame = manifest.training()
    vectors = np.random.default_rng(5).normal(size=(len(frame), 6))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    config = MiningConfig(strategy, pairs=pairs, neighbours=3)
    return mine_pairs(frame, config, manifest.digest, vectors, "made")


def made_arm(
    supervisor: SupervisorConfig,
    weights: tuple[float, float, float] = (1.0, 1.0, 1.0),
    encoder: EncoderConfig | None = None,
    optimizer: dict[str, Any] | None = None,
    rollout: dict[str, Any] | None = None,
    **training: Any,
) -> ArmConfig:
    """A quick arm: batches of 4 × 2 images, K = 3 of 4 pairs a round, G = 4."""
    settings: dict[str, Any] = {
        "steps": 4,
        "classes_per_batch": 4,
        "images_per_class": 2,
        "contributing_pairs": 3,
        "pairs_per_round": 4,
        "max_rounds": 3,
        "metric_loss": MetricLossConfig("potential_field", pf_proxies=2),
        "refill": "after",  # scripted verdicts count the pairs in the order of the rounds
        "autocast": "none",
        "checkpoint_every": 0,
    } | training
    rates = {"encoder_lr": 2e-4, "pooler_lr": 3e-3} | (optimizer or {})
    sampling = {"group_size": 4, "top_p": 1.0, "max_new_tokens": 40} | (rollout or {})
    return ArmConfig(
        "saga",
        supervisor,
        encoder or EncoderConfig(PoolerConfig(normalize_keys=True)),
        TrainingConfig(
            weights=LossWeights(*weights),
            optimizer=OptimizerConfig(**rates),
            rollout=RolloutConfig(**sampling),
            **settings,
        ),
    )


EMBEDDED = SupervisorConfig("embedded", "synthetic_birds", 96, attention_layer=2, device="cpu")
"""Its rollouts disagree by themselves."""


def tiny_supervisor(folder: Path, prompt: Path, **settings: Any) -> SupervisorConfig:
    """One of the random checkpoints."""
    config = SupervisorConfig(str(folder), str(prompt), 64, attention_layer=1, device="cpu")
    return replace(config, **settings)


def half_right(pair: int, completion: int) -> bool | None:
    """A verdict that contributes in every group: "same" in every second completion."""
    return completion % 2 == 0


def script_answers(
    monkeypatch: pytest.MonkeyPatch,
    prompt: str | Path,
    verdict: Callable[[int, int], bool | None] = half_right,
    words: tuple[str, ...] = WORDS,
) -> list[int]:
    """Let written answers stand for sampled ones; everything after the sampling is as always.

    Args:
        monkeypatch: of the test.
        prompt: whose form the answers have.
        verdict: of each pair (counted over all calls) and completion; None writes what nobody can
            read.
        words: values of the attributes.

    Returns:
        a list that collects the pairs of each call.
    """
    asked: list[int] = []

    def roll_out(
        backbone: Any, prefix: Any, a: Any, b: Any, config: Any, seeds: list[int]
    ) -> Completions:
        done = sum(asked)
        asked.append(len(seeds))
        groups = [
            [
                written_answer(prompt, verdict(done + p, g), done + p + 3 * g, words)
                for g in range(config.group_size)
            ]
            for p in range(len(seeds))
        ]
        return completions_of(backbone, groups)

    monkeypatch.setattr("saga.supervisors.supervisor.roll_out", roll_out)
    return asked


def written_answer(
    source: str | Path, same: bool | None, variant: int, words: tuple[str, ...] = WORDS
) -> str:
    """A well-formed answer of a prompt's form, its values of several lengths."""
    if same is None:
        return "I cannot tell." + "!" * (variant % 5)
    prompt = load_prompt(source)
    answer: dict[str, Any] = {}
    for key in prompt.schema_keys:
        if key in prompt.item_keys:
            side = prompt.item_keys.index(key)
            answer[key] = {
                name: words[(variant + side + i) % len(words)]
                for i, name in enumerate(prompt.attributes)
            }
        else:
            answer[key] = {"differences": ["tail"], "confidence": "low", "reasoning": "?"}.get(key)
    answer[prompt.verdict_key] = "yes" if same else "no"
    return json.dumps(answer, ensure_ascii=False)


def completions_of(backbone: Any, groups: list[list[str]]) -> Completions:
    """The tokens of some texts, each with its end token; log-probabilities are left at 0."""
    end = backbone.tokenizer.eos_token_id
    rows = [
        [*backbone.tokenizer(text, add_special_tokens=False)["input_ids"], end]
        for group in groups
        for text in group
    ]
    P, G, T = len(groups), len(groups[0]), max(map(len, rows))
    tokens = torch.full((P * G, T), int(backbone.tokenizer.pad_token_id))
    for row, ids in zip(tokens, rows):
        row[: len(ids)] = torch.tensor(ids)
    lengths = torch.tensor([len(row) for row in rows])
    return Completions(
        tokens.view(P, G, T),
        lengths.view(P, G),
        torch.ones(P, G, dtype=torch.bool),
        torch.zeros(P, G, T),
    )
