"""Qwen3-VL's vision tower with its merger and deepstack mergers.

All images of a batch have the same size, so attention runs batched over images; transformers loops
over them on the CPU. Patches are embedded by a matrix product. Weights and results are transformers'
own (tests compare values and gradients).

Shapes: B images, N tokens of one image (after merging), M patches of one image, D token width.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import Qwen3VLVisionConfig, Qwen3VLVisionModel
from transformers.models.qwen3_vl.modeling_qwen3_vl import (
    Qwen3VLVisionAttention,
    Qwen3VLVisionPatchEmbed,
    apply_rotary_pos_emb_vision,
)

from saga.encoders.tower import VisionTokens, VisionTower


class BatchedAttention(Qwen3VLVisionAttention):
    """Attention within each of some equal images, all of them in one call."""

    def forward(  # type: ignore[override]
        self,
        hidden_states: Tensor,
        cu_seqlens: Tensor,
        position_embeddings: tuple[Tensor, Tensor] | None = None,
        **_: Any,
    ) -> Tensor:
        """Output (B·M, D) for the patches of all images, one image after the other."""
        images, total = len(cu_seqlens) - 1, hidden_states.shape[0]
        query, key, value = self.qkv(hidden_states).reshape(total, 3, self.num_heads, -1).unbind(1)
        assert position_embeddings is not None
        query, key = apply_rotary_pos_emb_vision(query, key, *position_embeddings)

        def per_image(x: Tensor) -> Tensor:
            return x.reshape(images, total // images, self.num_heads, -1).transpose(1, 2)

        out = F.scaled_dot_product_attention(
            per_image(query), per_image(key), per_image(value), scale=self.scaling
        )
        return self.proj(out.transpose(1, 2).reshape(total, -1))


class LinearPatchEmbed(Qwen3VLVisionPatchEmbed):
    """The convolution over patches as the matrix product that it is.

    Its kernel is its stride. Convolutions in three dimensions are slow, in bfloat16 many times so.
    """

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Patches (B·M, C·T·p·p) to the tower's width."""
        weight = self.proj.weight
        return F.linear(hidden_states.to(weight.dtype), weight.flatten(1), self.proj.bias)


class Qwen3VLTower(VisionTower):
    """f_θ of the Qwen3-VL family."""

    family = "qwen3_vl"

    def __init__(self, vision: Qwen3VLVisionModel) -> None:
        super().__init__()
        self.vision: Any = vision
        for block in vision.blocks:
            # The class, not a function of this instance: a copied tower computes with its own weights.
            block.attn.__class__ = BatchedAttention
        vision.patch_embed.__class__ = LinearPatchEmbed

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Qwen3VLTower":
        """A tower with random weights."""
        return cls(Qwen3VLVisionModel._from_config(Qwen3VLVisionConfig(**config)))

    @classmethod
    def of_model(cls, model: Any) -> "Qwen3VLTower":
        """The tower of a loaded Qwen3-VL."""
        return cls(model.model.visual)

    @property
    def width(self) -> int:
        """Token width D."""
        return int(self.vision.config.out_hidden_size)

    @property
    def pixels_per_token(self) -> int:
        """Patch side times merge factor."""
        return int(self.vision.config.patch_size * self.vision.config.spatial_merge_size)

    def config_dict(self) -> dict[str, Any]:
        """The vision configuration."""
        return plain_config(self.vision.config)

    def forward(self, pixels_BCHW: Tensor) -> VisionTokens:
        """Tokens and deepstack features of images (B, 3, S, S)."""
        B = pixels_BCHW.shape[0]
        rows, columns = self.grid(pixels_BCHW.shape[-1])
        merge = self.vision.config.spatial_merge_size
        grid_thw = torch.tensor([[1, rows * merge, columns * merge]] * B, device=pixels_BCHW.device)
        out = self.vision(self.patches(pixels_BCHW), grid_thw=grid_thw)
        return VisionTokens(
            out.pooler_output.view(B, rows * columns, -1),
            tuple(level.view(B, rows * columns, -1) for level in out.deepstack_features),
        )

    def patches(self, pixels_BCHW: Tensor) -> Tensor:
        """Flattened patches (B·M, C·T·p·p) in the order the merger expects.

        A still image is repeated over the temporal patch.
        """
        config = self.vision.config
        p, m, t = config.patch_size, config.spatial_merge_size, config.temporal_patch_size
        B, C, H, W = pixels_BCHW.shape
        h, w = H // p, W // p
        x = pixels_BCHW.reshape(B, C, h // m, m, p, w // m, m, p)
        x = x.permute(0, 2, 5, 3, 6, 1, 4, 7).unsqueeze(6)
        x = x.expand(-1, -1, -1, -1, -1, -1, t, -1, -1)
        return x.reshape(B * h * w, C * t * p * p)


def plain_config(config: Any) -> dict[str, Any]:
    """A transformers configuration as JSON without what only says where it came from."""
    dropped = ("_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype")
    return {k: v for k, v in config.to_diff_dict().items() if k not in dropped}
