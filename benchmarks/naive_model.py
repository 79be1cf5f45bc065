"""The whole transformers model as an obvious implementation uses it, for the naive step.

The language model is the one that ours uses; the tower is a copy with transformers' own attention and
patch embedding, and weights of its own.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList, Qwen3VLVisionModel

from saga.supervisors.backbone import Backbone, Prefix
from saga.supervisors.configuration import RolloutConfig
from saga.supervisors.rollout import banned_tokens
from saga.training.phases import PhaseClock


def plain_model(backbone: Backbone, tower: Any) -> Any:
    """A whole model around the frozen language model of `backbone`.

    Args:
        backbone: whose language model and head are shared.
        tower: saga's, whose weights are copied.
    """
    whole = backbone.model
    with torch.device("meta"):
        model = type(whole)._from_config(whole.config)
    model.model.language_model, model.lm_head = whole.model.language_model, whole.lm_head
    vision = Qwen3VLVisionModel._from_config(whole.config.vision_config)
    vision.load_state_dict(tower.vision.state_dict())
    model.model.visual = vision.to(backbone.device).requires_grad_(True)
    model.generation_config = whole.generation_config
    return model.eval()


class ForcedLengths(LogitsProcessor):
    """Lets each row end exactly at its length."""

    def __init__(self, lengths_G: Tensor, ends: Tensor, prompt: int) -> None:
        self.lengths_G, self.ends, self.prompt = lengths_G, ends, prompt

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Ban the end token before a row's last, everything else at it."""
        last_G = self.lengths_G <= input_ids.shape[1] - self.prompt + 1
        forced = scores.clone()
        forced[:, self.ends] = -torch.inf
        forced[last_G] = -torch.inf
        forced[last_G, self.ends[0]] = 0.0
        return forced


class Asked:
    """The model's inputs about one pair, and the phases of its tower."""

    def __init__(self, model: Any, backbone: Backbone, tower: Any, clock: PhaseClock) -> None:
        self.model, self.backbone = model, backbone
        self._patches, self._clock = tower.patches, clock
        self._merge = model.config.vision_config.spatial_merge_size
        self._open = ExitStack()
        vision = model.model.visual
        vision.register_forward_pre_hook(self._tower_begins)
        vision.register_forward_hook(self._tower_done)

    def tokens(self, pixels_B3SS: Tensor, grid: tuple[int, int]) -> Tensor:
        """Tokens (B, N, D) of a batch of images."""
        B = len(pixels_B3SS)
        out = self.model.model.visual(self._patches(pixels_B3SS), grid_thw=self._grid(grid, B))
        return out.pooler_output.view(B, grid[0] * grid[1], -1)

    def about(self, ids_S: Tensor, pixels_23SS: Tensor, grid: tuple[int, int]) -> dict[str, Tensor]:
        """Inputs of the model: a sequence that begins with the prompt, and its two images."""
        return {
            "input_ids": ids_S[None],
            "attention_mask": torch.ones_like(ids_S)[None],
            "mm_token_type_ids": (ids_S == self.backbone.image_token_id).int()[None],
            "pixel_values": self._patches(pixels_23SS),
            "image_grid_thw": self._grid(grid, 2),
        }

    @torch.no_grad()
    def generate(
        self, prefix: Prefix, inputs: dict[str, Tensor], config: RolloutConfig, lengths_G: Any
    ) -> Tensor:
        """Sampled token ids (G, T) behind the prompt.

        Args:
            prefix: the prompt.
            inputs: from `about`.
            config: sampling.
            lengths_G: exact lengths; None lets the model end by itself.
        """
        ends = torch.tensor(self.backbone.end_token_ids, device=self.backbone.device)
        longest, processors = config.max_new_tokens, LogitsProcessorList()
        if lengths_G is not None:
            longest = int(lengths_G.max())
            processors.append(ForcedLengths(lengths_G.to(ends.device), ends, len(prefix)))
        self.model.model.rope_deltas = None
        sequences = self.model.generate(
            **inputs,
            do_sample=True,
            temperature=config.temperature,
            top_p=config.top_p,
            top_k=0,
            num_return_sequences=config.group_size,
            max_new_tokens=longest,
            suppress_tokens=banned_tokens(self.backbone),
            logits_processor=processors,
            pad_token_id=int(self.backbone.tokenizer.pad_token_id),
            eos_token_id=ends.tolist(),
        )
        return sequences[:, len(prefix) :]

    @contextmanager
    def eager(self) -> Iterator[None]:
        """Attention that shows its weights."""
        configs = self.backbone.language.config, self.model.config
        before = [config._attn_implementation for config in configs]
        for config in configs:
            config._attn_implementation = "eager"
        try:
            yield
        finally:
            for config, name in zip(configs, before):
                config._attn_implementation = name

    def backward(self, loss: Tensor) -> None:
        """Backward through everything; the tower's share counts as the tower's."""
        loss.backward()
        self._open.close()

    def _tower_begins(self, module: Any, args: Any) -> None:
        self._open.enter_context(self._clock("tower"))

    def _tower_done(self, module: Any, args: Any, out: Any) -> None:
        self._open.close()
        if out.pooler_output.requires_grad:  # the last of the tower's outputs to get its gradient
            out.pooler_output.register_hook(self._tower_backward_begins)

    def _tower_backward_begins(self, gradient: Tensor) -> None:
        self._open.enter_context(self._clock("tower"))

    def _grid(self, grid: tuple[int, int], images: int) -> Tensor:
        row = [1, grid[0] * self._merge, grid[1] * self._merge]
        return torch.tensor([row] * images, device=self.backbone.device)
