"""One token a row through the frozen decoder, with fixed shapes.

transformers' own forward makes masks, tables of positions and cache objects anew for every token: on a
small model that costs more than the model, and it cannot be captured in a CUDA graph. Here are the same
layers in a plain loop. It holds for decoders of the Qwen and Llama kind (Qwen2, Qwen3, Qwen3-VL's and
InternVL's): norm, attention with rotary positions, norm, MLP. The tests hold it equal to transformers.

Fewer kernels are most of the gain, on every device: queries, keys and values come from one product (a copy
of its weights: 1.8 GB for Qwen3-VL-8B), and queries and keys are normalised and rotated together.

Shapes: R rows, H heads, K key-value heads, A = H + 2·K, D head width, E model width, T tokens of a
completion.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from saga.errors import UserInputError
from saga.supervisors.backbone import Backbone, Prefix
from saga.supervisors.shared_prefix import SharedPrefix, Window

PARTS = {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}
PROJECTIONS = {"q_proj", "k_proj", "v_proj", "o_proj"}
NORMS = {"q_norm", "k_norm"}


@dataclass(frozen=True, slots=True)
class _Attention:
    """What is prepared of one layer."""

    projection: Tensor
    """Of queries, keys and values, (A·D, E)."""
    bias: Tensor | None
    norms: Tensor | None
    """Weights of the queries' and keys' norms, one row a head (H + K, D)."""
    eps: float
    width: int
    """Of a head."""
    counts: tuple[int, int, int]
    """Heads of queries, keys and values."""

    def __call__(
        self, x_RE: Tensor, cos_1D: Tensor, sin_1D: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Rotated queries (R, H, D), rotated keys and values (R, K, D)."""
        heads_RAD = functional.linear(x_RE, self.projection, self.bias)
        heads_RAD = heads_RAD.view(len(x_RE), -1, self.width)
        H, K, _ = self.counts
        positioned = heads_RAD[:, : H + K]
        if self.norms is not None:  # of the values' too: cheaper than to take them apart
            normed_RAD = functional.rms_norm(heads_RAD, (self.width,), eps=self.eps)
            positioned = normed_RAD[:, : H + K] * self.norms
        query, key = rotated(positioned, cos_1D, sin_1D).split((H, K), 1)
        return query, key, heads_RAD[:, H + K :]


class TokenPass:
    """The decoder of a backbone, for tokens behind a prompt."""

    def __init__(self, backbone: Backbone, prefix: Prefix, limit: int) -> None:
        """Prepare weights and rotary tables.

        Args:
            backbone: the frozen language model.
            prefix: the prompt; says at which position a completion begins.
            limit: most tokens of a completion.

        Raises:
            UserInputError: if the layers have other parts than are known here.
        """
        language = backbone.language
        for layer in language.layers:
            _check_parts(layer)
        self.embed, self.layers, self.norm = language.embed_tokens, language.layers, language.norm
        self.attentions = [_prepared(layer.self_attn) for layer in language.layers]
        self.cos_TD, self.sin_TD = _rotary_tables(language, prefix, limit)

    def __call__(
        self, ids_R: Tensor, slot_1: Tensor, memory: SharedPrefix, window: Window
    ) -> Tensor:
        """Final hidden states (R, E) of one token a row; its keys and values go into the memory.

        Args:
            ids_R: token ids.
            slot_1: how many own tokens each row has already.
            memory: keys and values of prompts and rows.
            window: rows and room of the memory.
        """
        cos_1D, sin_1D = self.cos_TD[slot_1], self.sin_TD[slot_1]
        unwritten_T = memory.unwritten(slot_1, window)
        x_RE = self.embed(ids_R)
        for i, (layer, attention) in enumerate(zip(self.layers, self.attentions)):
            query, key, value = attention(rms_norm(layer.input_layernorm, x_RE), cos_1D, sin_1D)
            scale = layer.self_attn.scaling
            found_RX = memory.attend(i, window, slot_1, unwritten_T, query, key, value, scale)
            x_RE = x_RE + layer.self_attn.o_proj(found_RX)
            y_RE = rms_norm(layer.post_attention_layernorm, x_RE)
            x_RE = x_RE + layer.mlp(y_RE[None])[0]
        return rms_norm(self.norm, x_RE)


def rms_norm(norm: Any, x: Tensor) -> Tensor:
    """A norm of transformers, in one kernel where the types allow it."""
    if x.dtype != norm.weight.dtype:
        normed: Tensor = norm(x)
        return normed
    return functional.rms_norm(x, (x.shape[-1],), norm.weight, norm.variance_epsilon)


def rotated(x_RHD: Tensor, cos_1D: Tensor, sin_1D: Tensor) -> Tensor:
    """Rotary position: as transformers' rotate_half, whose sign is in the table of sines."""
    return torch.addcmul(x_RHD * cos_1D, x_RHD.roll(x_RHD.shape[-1] // 2, -1), sin_1D)


def _prepared(attention: Any) -> _Attention:
    projections = [attention.q_proj, attention.k_proj, attention.v_proj]
    biases = [projection.bias for projection in projections]
    width = attention.head_dim
    H, K, V = (projection.out_features // width for projection in projections)
    norms, eps = None, 0.0
    if hasattr(attention, "q_norm"):  # Qwen3 normalises per head; Qwen2 and Llama do not
        query, key = attention.q_norm, attention.k_norm
        norms = torch.cat([query.weight.expand(H, -1), key.weight.expand(K, -1)])
        eps = query.variance_epsilon
    return _Attention(
        torch.cat([projection.weight for projection in projections]),
        None if biases[0] is None else torch.cat(biases),
        norms,
        eps,
        width,
        (H, K, V),
    )


def _rotary_tables(language: Any, prefix: Prefix, limit: int) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines (T, D) of the positions behind a prompt."""
    axes = prefix.positions_RS.shape[0]
    weight = language.embed_tokens.weight
    position_T = prefix.next_position + torch.arange(limit, device=weight.device)
    positions = position_T.expand(axes, 1, -1) if axes > 1 else position_T[None]
    cos_1TD, sin_1TD = language.rotary_emb(weight[:1], positions)
    half = sin_1TD.shape[-1] // 2
    return cos_1TD[0], torch.cat([-sin_1TD[0, :, :half], sin_1TD[0, :, half:]], -1)


def _check_parts(layer: Any) -> None:
    parts = {name for name, _ in layer.named_children()}
    inside = {name for name, _ in layer.self_attn.named_children()} if parts == PARTS else set()
    sliding = getattr(getattr(layer, "self_attn", None), "sliding_window", None)
    if parts != PARTS or not PROJECTIONS <= inside <= PROJECTIONS | NORMS or sliding is not None:
        raise UserInputError(
            f"supervisor.model: completions cannot be sampled from a {type(layer).__name__} (parts "
            f"{', '.join(sorted(parts | inside))}). Supported are decoder layers of the Qwen and "
            "Llama kind without a sliding window, as in Qwen3-VL and InternVL on Qwen2 or Qwen3."
        )
