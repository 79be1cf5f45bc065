"""The language half of a multimodal LLM, behind one small interface for every family.

saga never calls the whole model: the tower is trained apart and its tokens are put where the image
placeholders of the prompt stand. What differs between families (how an image is written in the prompt,
position ids, deepstack features) is here; rollout, replay and attention are written once on top.

Shapes: P pairs, S sequence, N tokens of one image, D token width, V vocabulary.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from saga.encoders.tower import VisionTokens
from saga.errors import UserInputError

if TYPE_CHECKING:
    from transformers import Cache


@dataclass(frozen=True, slots=True)
class Prefix:
    """The prompt of a pair up to the first generated token; the same for every pair of a run."""

    ids_S: Tensor
    """Token ids, with the image placeholder repeated once per image token."""
    slots_a_N: Tensor
    """Positions of the first image's tokens."""
    slots_b_N: Tensor
    """Positions of the second image's tokens."""
    positions_RS: Tensor
    """Rotary position ids, one row per axis of the family (3 for Qwen3-VL, 1 for InternVL)."""
    next_position: int
    """Rotary position of the first generated token."""

    def __len__(self) -> int:
        return len(self.ids_S)


@dataclass(frozen=True, slots=True)
class Visual:
    """Deepstack features that join the first decoder layers at the image positions."""

    mask_PS: Tensor
    levels: list[Tensor]
    """Per level, features of all image positions in row-major order, (P·2N, D)."""


class Backbone:
    """Base of the families: embeds, runs and reads out the frozen language model."""

    family: str

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.config = model.config
        self.language = model.model.language_model
        self.image_token_id = int(self.config.image_token_id)
        self.end_token_ids = _end_token_ids(model, tokenizer)

    @property
    def depth(self) -> int:
        """Number of decoder layers."""
        return len(self.language.layers)

    @property
    def device(self) -> torch.device:
        """Where the language model lives."""
        return self.language.embed_tokens.weight.device

    def prefix(self, text: str, grid: tuple[int, int]) -> Prefix:
        """Tokens and positions of "image, image, text" in the model's own chat format.

        Args:
            text: the instruction.
            grid: rows and columns of one image's tokens.

        Raises:
            UserInputError: if the chat template does not place exactly two images.
        """
        ids = self._expand(self._chat_ids(text), grid[0] * grid[1])
        ids_S = torch.tensor(ids, device=self.device)
        slots_2N = (ids_S == self.image_token_id).nonzero()[:, 0]
        positions_RS = self._positions(ids_S, grid)
        half = grid[0] * grid[1]
        return Prefix(
            ids_S, slots_2N[:half], slots_2N[half:], positions_RS, int(positions_RS.max()) + 1
        )

    def embed_pairs(
        self, prefix: Prefix, a: VisionTokens, b: VisionTokens
    ) -> tuple[Tensor, Visual | None]:
        """Prompt embeddings with both images' tokens in their places.

        Args:
            prefix: from `prefix`.
            a: tokens (P, N, D) of the first images, with their deepstack levels.
            b: tokens (P, N, D) of the second images.

        Returns:
            embeddings (P, S, D) and the deepstack features, if the family has any.
        """
        P = a.tokens_BND.shape[0]
        embeds_SD = self.embed(prefix.ids_S)
        embeds_PSD = embeds_SD.expand(P, -1, -1).clone()
        embeds_PSD[:, prefix.slots_a_N] = a.tokens_BND.to(embeds_SD.dtype)
        embeds_PSD[:, prefix.slots_b_N] = b.tokens_BND.to(embeds_SD.dtype)
        if not a.deepstack:
            return embeds_PSD, None
        mask_PS = (prefix.ids_S == self.image_token_id).expand(P, -1)
        levels = [torch.cat(pair, 1).flatten(0, 1) for pair in zip(a.deepstack, b.deepstack)]
        return embeds_PSD, Visual(mask_PS, levels)

    def embed(self, ids: Tensor) -> Tensor:
        """Word embeddings of token ids."""
        return self.language.embed_tokens(ids)

    def logits(self, hidden: Tensor) -> Tensor:
        """Vocabulary logits of hidden states, in float32."""
        return self.model.lm_head(hidden).float()

    def hidden(
        self,
        embeds_BSD: Tensor,
        positions_RBS: Tensor,
        mask_B1ST: Tensor | None = None,
        cache: "Cache | None" = None,
        visual: Visual | None = None,
    ) -> Tensor:
        """Final hidden states (B, S, D) of the frozen decoder.

        Args:
            embeds_BSD: input embeddings.
            positions_RBS: rotary positions.
            mask_B1ST: boolean, True where attention is allowed; None is plain causal.
            cache: keys and values of what came before; extended in place.
            visual: deepstack features, for a sequence that holds the images.
        """
        raise NotImplementedError

    def _expand(self, ids: list[int], n_tokens: int) -> list[int]:
        raise NotImplementedError

    def _positions(self, ids_S: Tensor, grid: tuple[int, int]) -> Tensor:
        raise NotImplementedError

    def _chat_ids(self, text: str) -> list[int]:
        content = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": text}]
        chat = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        ids: list[int] = self.tokenizer(chat, add_special_tokens=False)["input_ids"]
        if ids.count(self.image_token_id) != 2:
            raise UserInputError(
                f"The supervisor's chat template places {ids.count(self.image_token_id)} images for "
                "a prompt with two. Use a vision-language checkpoint whose chat template handles "
                '{"type": "image"} entries, and leave image tokens out of the prompt text.'
            )
        return ids


class Qwen3VLBackbone(Backbone):
    """Qwen3-VL: three rotary axes, deepstack features in the first layers."""

    family = "qwen3_vl"

    def hidden(
        self,
        embeds_BSD: Tensor,
        positions_RBS: Tensor,
        mask_B1ST: Tensor | None = None,
        cache: "Cache | None" = None,
        visual: Visual | None = None,
    ) -> Tensor:
        """See the base class. Three rows of positions: a fourth would switch on packed masking."""
        out = self.language(
            inputs_embeds=embeds_BSD,
            position_ids=positions_RBS,
            attention_mask=mask_B1ST,
            past_key_values=cache,
            use_cache=cache is not None,
            visual_pos_masks=None if visual is None else visual.mask_PS,
            deepstack_visual_embeds=None if visual is None else visual.levels,
        )
        return out.last_hidden_state

    def _expand(self, ids: list[int], n_tokens: int) -> list[int]:
        """The template already wraps the placeholder in start and end tokens."""
        return [i for x in ids for i in ([x] * n_tokens if x == self.image_token_id else [x])]

    def _positions(self, ids_S: Tensor, grid: tuple[int, int]) -> Tensor:
        merge = self.config.vision_config.spatial_merge_size
        grid_thw = torch.tensor([[1, grid[0] * merge, grid[1] * merge]] * 2, device=ids_S.device)
        is_image = (ids_S == self.image_token_id).int()
        positions, _ = self.model.model.get_rope_index(
            ids_S[None], is_image[None], image_grid_thw=grid_thw
        )
        return positions[:, 0]


class InternVLBackbone(Backbone):
    """InternVL: one rotary axis, no deepstack."""

    family = "internvl"

    def hidden(
        self,
        embeds_BSD: Tensor,
        positions_RBS: Tensor,
        mask_B1ST: Tensor | None = None,
        cache: "Cache | None" = None,
        visual: Visual | None = None,
    ) -> Tensor:
        """See the base class."""
        out = self.language(
            inputs_embeds=embeds_BSD,
            position_ids=positions_RBS[0],
            attention_mask=mask_B1ST,
            past_key_values=cache,
            use_cache=cache is not None,
        )
        return out.last_hidden_state

    def _expand(self, ids: list[int], n_tokens: int) -> list[int]:
        """The template writes only the placeholder; the processor adds start and end."""
        start, end = self.tokenizer.convert_tokens_to_ids(["<img>", "</img>"])
        image = [start, *[self.image_token_id] * n_tokens, end]
        return [i for x in ids for i in (image if x == self.image_token_id else [x])]

    def _positions(self, ids_S: Tensor, grid: tuple[int, int]) -> Tensor:
        return torch.arange(len(ids_S), device=ids_S.device)[None]


BACKBONES: dict[str, type[Backbone]] = {
    backbone.family: backbone for backbone in (Qwen3VLBackbone, InternVLBackbone)
}


def _end_token_ids(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """Tokens that end a completion: the generation configuration's and the tokenizer's."""
    declared = getattr(model.generation_config, "eos_token_id", None)
    ids = declared if isinstance(declared, list) else [declared]
    return tuple(sorted({i for i in [*ids, tokenizer.eos_token_id] if i is not None}))
