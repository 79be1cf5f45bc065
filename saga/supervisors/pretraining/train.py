"""Supervised pretraining of the tiny supervisor: describe two birds, then say whether they match.

Teacher-forced cross-entropy on true answers, plus a probe that reads the attributes off the vision
tokens and helps the tower at the start (it is thrown away). The birds are drawn or photographed.
Drawn ones never have a combination that a test or validation class may have, never haze, and
backgrounds that are free of the class; photos are of training classes alone.

    saga build-supervisor configs/supervisor.yaml
    saga build-supervisor configs/supervisor-cub200.yaml --set dataset.root=data/CUB_200_2011
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from saga.encoders.tower import VisionTokens
from saga.encoders.towers.qwen3_vl import Qwen3VLTower
from saga.files import file_digests, replace_folder, write_json, write_text
from saga.supervisors.backbone import Qwen3VLBackbone
from saga.supervisors.pretraining.card import model_card
from saga.supervisors.pretraining.configuration import PretrainingConfig, Stage
from saga.supervisors.pretraining.model import build_model, preprocessor_config
from saga.supervisors.pretraining.pool import GROUP, DrawnBirds, Pool, Source, commonest, draw_pairs
from saga.supervisors.pretraining.tokenizer import (
    answer_text,
    build_tokenizer,
    generic_answer_text,
)
from saga.supervisors.pretraining.vocabulary import DRAWN_BIRDS, Combination
from saga.supervisors.source import EMBEDDED

PROMPT, GENERIC_PROMPT = DRAWN_BIRDS.prompt, DRAWN_BIRDS.generic_prompt
ITEM, VERDICT_KEY = DRAWN_BIRDS.item, DRAWN_BIRDS.verdict_key
WARMUP_STEPS = 100
Progress = Callable[[int, int, dict[str, float]], None]


class AttributeProbe(nn.Module):
    """Reads each attribute off the vision tokens through one attention query."""

    def __init__(self, width: int, counts: tuple[int, ...]) -> None:
        super().__init__()
        self.queries_AD = nn.Parameter(torch.randn(len(counts), width) * 0.05)
        self.keys = nn.Linear(width, width)
        self.heads = nn.ModuleList([nn.Linear(width, n) for n in counts])

    def forward(self, tokens_BND: Tensor, combinations_BA: Tensor) -> Tensor:
        """Mean cross-entropy over attributes."""
        scores_BAN = self.queries_AD @ self.keys(tokens_BND).transpose(1, 2)
        pooled_BAD = (scores_BAN / tokens_BND.shape[-1] ** 0.5).softmax(-1) @ tokens_BND
        losses = [
            F.cross_entropy(head(pooled_BAD[:, i]), combinations_BA[:, i])
            for i, head in enumerate(self.heads)
        ]
        return torch.stack(losses).mean()


def source_of(config: PretrainingConfig) -> Source:
    """The birds that a configuration asks for.

    Raises:
        UserInputError: if the photos or their attributes are not what they must be.
    """
    if config.dataset is None:
        return DrawnBirds(config.clutter, config.workers)
    from saga.supervisors.pretraining.photos import BirdPhotos

    return BirdPhotos(config.dataset, config.held_out_photos, config.seed)


class Pretrainer:
    """Model, probe and batches of one pretraining."""

    def __init__(self, config: PretrainingConfig, source: Source | None = None) -> None:
        self.config = config
        self.source = source if source is not None else source_of(config)
        self.vocabulary = words = self.source.vocabulary
        self.tokenizer = build_tokenizer(
            (words.prompt, words.generic_prompt), words.item, words.verdict_key, words.attributes
        )
        self.model = build_model(self.tokenizer, config.seed, config.tower_depth)
        if config.start == "embedded":
            take_embedded_weights(self.model)
        self.backbone = Qwen3VLBackbone(self.model, self.tokenizer)
        self.tower = Qwen3VLTower(self.model.model.visual)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.probe = AttributeProbe(self.tower.width, words.counts)
        self.parameters = [*self.model.parameters(), *self.probe.parameters()]

    def run(self, progress: Progress | None = None) -> Pool:
        """All stages; returns the last stage's held-out pool."""
        held_out = None
        total, done = sum(stage.steps for stage in self.config.stages), 0
        for number, stage in enumerate(self.config.stages):
            pools = [
                self.source.pool(
                    groups, stage.image_size, [self.config.seed, 3, number, part], part == 1
                )
                for part, groups in enumerate((stage.groups, self.config.held_out_groups))
            ]
            self._run_stage(number, stage, pools[0], total, done, progress)
            held_out, done = pools[1], done + stage.steps
        assert held_out is not None
        return held_out

    def _run_stage(
        self,
        number: int,
        stage: Stage,
        pool: Pool,
        total: int,
        done: int,
        progress: Progress | None,
    ) -> None:
        optimizer = torch.optim.AdamW(
            self.parameters,
            lr=stage.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=self.config.weight_decay,
        )
        rng = np.random.default_rng([self.config.seed, 4, number])
        self.model.train()
        for step in range(stage.steps):
            share = step / stage.steps
            rate = 0.97 * 0.5 * (1 + math.cos(math.pi * share)) + 0.03
            for group in optimizer.param_groups:
                group["lr"] = stage.learning_rate * rate * min(1, step / WARMUP_STEPS)
            answers, probe = self._losses(pool, rng)
            weight = stage.probe_weight * ((1 - share) if stage.probe_decays else 1)
            optimizer.zero_grad()
            (answers + weight * probe).backward()
            nn.utils.clip_grad_norm_(self.parameters, 1.0)
            optimizer.step()
            if progress is not None:
                progress(done + step + 1, total, {"answers": answers.item(), "probe": probe.item()})
        self.model.eval()

    def _losses(self, pool: Pool, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        groups = rng.choice(pool.groups, self.config.groups_per_step, replace=False)
        index = (groups[:, None] * GROUP + np.arange(GROUP)).ravel()
        combinations = [pool.combinations[i] for i in index]
        a, b = draw_pairs(len(groups), rng)
        tokens = self.encode(pool.images[index])
        generic = bool(rng.random() < self.config.generic_share)
        logits_PTV, answer_PT = self.teacher_forced(tokens, combinations, a, b, generic)
        answers = F.cross_entropy(
            logits_PTV.flatten(0, 1),
            answer_PT.flatten(),
            ignore_index=self.tokenizer.pad_token_id,
        )
        return answers, self.probe(tokens.tokens_BND, torch.tensor(combinations))

    def encode(self, images: np.ndarray) -> VisionTokens:
        """Tokens of uint8 images (B, S, S, 3)."""
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float().div(127.5).sub(1)
        return self.tower(pixels)

    def teacher_forced(
        self,
        tokens: VisionTokens,
        combinations: list[Combination],
        a: np.ndarray,
        b: np.ndarray,
        generic: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Logits (P, T, V) for the true answers (P, T), padded at the end."""
        pairs = [(combinations[i], combinations[j]) for i, j in zip(a, b)]
        answer_PT = self._answers(pairs, generic)
        side = int(tokens.tokens_BND.shape[1] ** 0.5)
        words = self.vocabulary
        asked = words.generic_prompt if generic else words.prompt
        prefix = self.backbone.prefix(asked, (side, side))
        embeds, visual = self.backbone.embed_pairs(prefix, tokens.index(a), tokens.index(b))
        P, T = answer_PT.shape
        embeds = torch.cat([embeds, self.backbone.embed(answer_PT)], 1)
        positions = torch.cat([prefix.positions_RS, _next(prefix.positions_RS, T)], 1)
        if visual is not None:
            blank = visual.mask_PS.new_zeros(P, T)
            visual = type(visual)(torch.cat([visual.mask_PS, blank], 1), visual.levels)
        hidden = self.backbone.hidden(embeds, positions[:, None].expand(-1, P, -1), visual=visual)
        return self.backbone.logits(hidden[:, len(prefix) - 1 : -1]), answer_PT

    def _answers(self, pairs: list[tuple[Combination, Combination]], generic: bool) -> Tensor:
        rows, words = [], self.vocabulary
        for first, second in pairs:
            described = words.values_of(first), words.values_of(second)
            if generic:
                text = generic_answer_text(words.verdict_key, *described)
            else:
                text = answer_text(words.item, words.verdict_key, *described)
            rows.append([*self.tokenizer(text)["input_ids"], self.tokenizer.eos_token_id])
        longest = max(map(len, rows))
        pad = self.tokenizer.pad_token_id
        return torch.tensor([row + [pad] * (longest - len(row)) for row in rows])

    @torch.no_grad()
    def measure(self, pool: Pool, seed: int = 0) -> dict[str, float]:
        """Teacher-forced accuracy of each attribute and of the verdict, on held-out birds."""
        rng = np.random.default_rng([seed, 5])
        names = list(self.vocabulary.attributes)
        right: dict[str, list[float]] = {name: [] for name in [*names, "verdict"]}
        for start in range(0, pool.groups, 25):
            groups = range(start, min(start + 25, pool.groups))
            index = np.concatenate([np.arange(g * GROUP, g * GROUP + GROUP) for g in groups])
            a, b = draw_pairs(len(groups), rng)
            combinations = [pool.combinations[i] for i in index]
            logits, answer = self.teacher_forced(
                self.encode(pool.images[index]), combinations, a, b
            )
            hit = logits.argmax(-1) == answer
            for i, name in enumerate(names):
                slots = [1 + i, 2 + len(names) + i]
                right[name] += hit[:, slots].float().mean(1).tolist()
            ends = (answer == self.tokenizer.eos_token_id).float().argmax(1)
            right["verdict"] += hit[torch.arange(len(a)), ends - 1].float().tolist()
        return {name: float(np.mean(values)) for name, values in right.items()}


def _next(positions_RS: Tensor, T: int) -> Tensor:
    """Rotary positions of T tokens that follow the prompt."""
    start = int(positions_RS.max()) + 1
    return torch.arange(start, start + T).expand(positions_RS.shape[0], -1)


def take_embedded_weights(model: nn.Module) -> None:
    """Copy the shipped supervisor's weights, but for the embeddings of words, which are others."""
    own = model.state_dict()
    shipped = load_file(EMBEDDED / "model.safetensors")
    words = ("lm_head.weight", "model.language_model.embed_tokens.weight")
    taken = {name: tensor for name, tensor in shipped.items() if name not in words}
    assert taken.keys() == own.keys() - set(words), "of another architecture"
    model.load_state_dict(own | taken)


def build_supervisor(
    config: PretrainingConfig, output: Path, commit: str, progress: Progress | None = None
) -> dict[str, Any]:
    """Pretrain and save in the hub's folder format; returns what the model card states.

    Args:
        config: settings.
        output: folder to write; appears only when it is whole.
        commit: git commit of the code, for the model card.
        progress: called with (step, steps, losses).
    """
    started = time.time()
    pretrainer = Pretrainer(config)
    held_out = pretrainer.run(progress)
    facts: dict[str, Any] = {
        "accuracy": pretrainer.measure(held_out),
        "commonest": commonest(held_out, pretrainer.vocabulary),
        "parameters": sum(p.numel() for p in pretrainer.model.parameters()),
        "config": asdict(config),
        "commit": commit,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "minutes": round((time.time() - started) / 60, 1),
    }
    last = config.stages[-1]
    unseen = pretrainer.source.unseen(
        config.held_out_groups, last.image_size, [config.seed, 3, len(config.stages)]
    )
    if unseen is not None:
        facts["accuracy_unseen"] = pretrainer.measure(unseen)
        facts["commonest_unseen"] = commonest(unseen, pretrainer.vocabulary)
    with replace_folder(output) as folder:
        pretrainer.model.save_pretrained(folder)
        pretrainer.tokenizer.save_pretrained(folder)
        write_json(folder / "preprocessor_config.json", preprocessor_config())
        write_json(folder / "pretraining.json", facts)
        write_text(folder / "README.md", model_card(facts))
        write_json(folder / "digests.json", file_digests(folder))
    return facts
