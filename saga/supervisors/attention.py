"""The frozen model's attention from attribute values to image tokens (METHOD section 3, L_KL).

Fused attention never shows its weights. So the input of one decoder layer is kept during the replay,
and softmax(QKᵀ) is computed again for the few queries that matter: the positions that predict (or hold)
an attribute value's tokens. Weights are averaged over heads, restricted to the tokens of the image that
is described, and renormalised.

Shapes: P pairs, Q queries, H heads, N image tokens, S packed sequence, D width.
"""

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from saga.supervisors.backbone import Backbone, Prefix


@dataclass
class LayerCapture:
    """Input of one decoder layer over a packed replay, and how that replay was laid out."""

    prefix_length: int
    block_length: int
    mask_SS: Tensor
    hidden_PSD: Tensor | None = field(default=None)
    rotary: tuple[Tensor, Tensor] | None = field(default=None)

    def store(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Forward pre-hook: keep the layer's input and rotary tables, without gradient."""
        hidden = args[0] if args else kwargs["hidden_states"]
        self.hidden_PSD = hidden.detach()
        self.rotary = kwargs["position_embeddings"]

    def predicting(self, completion: Tensor, token: Tensor) -> Tensor:
        """Packed index of the position that predicts a completion's token."""
        inside = self.prefix_length + completion * self.block_length + token - 1
        return torch.where(token == 0, self.prefix_length - 1, inside)

    def holding(self, completion: Tensor, token: Tensor) -> Tensor:
        """Packed index of the position that holds a completion's token."""
        return self.prefix_length + completion * self.block_length + token


@dataclass(frozen=True, slots=True)
class AttentionQueries:
    """Which tokens' attention is wanted; all tensors (Q,)."""

    pair: Tensor
    completion: Tensor
    token: Tensor
    """Index of the value's token in its completion."""
    second: Tensor
    """True for values that describe the second image."""


@torch.no_grad()
def attention_maps(
    backbone: Backbone,
    prefix: Prefix,
    layer: int,
    capture: LayerCapture,
    queries: AttentionQueries,
    query_at: str = "predicting",
) -> Tensor:
    """Attention (Q, N) of each query over the tokens of the image it describes; rows sum to 1.

    Args:
        backbone: the frozen language model.
        prefix: the prompt, which knows where the images are.
        layer: decoder layer that was captured.
        capture: its input.
        queries: positions asked for.
        query_at: "predicting" or "value".

    Raises:
        ValueError: if `query_at` is unknown.
    """
    if query_at not in ("predicting", "value"):
        raise ValueError(f'query_at must be "predicting" or "value", got {query_at!r}')
    assert capture.hidden_PSD is not None and capture.rotary is not None
    locate = capture.predicting if query_at == "predicting" else capture.holding
    position_Q = locate(queries.completion, queries.token)
    weights_QS = _weights(backbone, layer, capture, queries.pair, position_Q)
    slots_QN = torch.where(queries.second[:, None], prefix.slots_b_N[None], prefix.slots_a_N[None])
    weights_QN = weights_QS.gather(1, slots_QN)
    return weights_QN / weights_QN.sum(1, keepdim=True).clamp_min(1e-12)


def _weights(
    backbone: Backbone, layer: int, capture: LayerCapture, pair_Q: Tensor, position_Q: Tensor
) -> Tensor:
    """Head-averaged softmax(QKᵀ) (Q, S) at some positions of some pairs."""
    assert capture.hidden_PSD is not None and capture.rotary is not None
    decoder = backbone.language.layers[layer]
    attention = decoder.self_attn
    rotate = import_module(type(attention).__module__).apply_rotary_pos_emb
    hidden_PSD = decoder.input_layernorm(capture.hidden_PSD)
    heads = (*hidden_PSD.shape[:2], -1, attention.head_dim)
    query = _normed(attention, "q_norm", attention.q_proj(hidden_PSD).view(heads)).transpose(1, 2)
    key = _normed(attention, "k_norm", attention.k_proj(hidden_PSD).view(heads)).transpose(1, 2)
    query, key = rotate(query, key, *capture.rotary)
    query_QHd = query[pair_Q, :, position_Q].float()
    weights = query_QHd.new_empty(len(pair_Q), key.shape[2])
    # In float32, as a fused kernel has it inside, whatever the autocast.
    with torch.autocast(weights.device.type, enabled=False):
        for p in pair_Q.unique():
            chosen = pair_Q == p
            key_HSd = key[p].repeat_interleave(attention.num_key_value_groups, 0).float()
            scores_HQS = torch.einsum("qhd,hsd->hqs", query_QHd[chosen], key_HSd)
            allowed = capture.mask_SS[position_Q[chosen]]
            scores_HQS = (scores_HQS * attention.scaling).masked_fill(~allowed, -torch.inf)
            weights[chosen] = scores_HQS.softmax(-1).mean(0)
    return weights


def _normed(attention: Any, name: str, value: Tensor) -> Tensor:
    """Qwen3 normalises queries and keys per head; Qwen2, under some InternVL models, does not."""
    norm = getattr(attention, name, None)
    return value if norm is None else norm(value)
