"""The frozen model's attention from attribute values to image tokens (METHOD section 3, L_KL).

Fused attention never shows its weights. So the input of one decoder layer is kept during the replay,
and softmax(QKᵀ) is computed again for the few queries that matter: the positions that predict (or hold)
an attribute value's tokens. Weights are averaged over heads, restricted to the tokens of the image that
is described, and renormalised.

Shapes: P pairs, Q queries, R queries of one pair, H heads, K key-value heads, N image tokens, S packed
sequence, D width, d head width.
"""

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from saga.supervisors.backbone import Backbone, Prefix
from saga.supervisors.packing import Packing

SCORES_BUDGET = 1 << 27
"""Most attention scores in memory at once; pairs are taken in portions that stay below."""


@dataclass
class LayerCapture:
    """Input of one decoder layer over a packed replay, and how that replay was laid out."""

    packing: Packing
    hidden_PSD: Tensor | None = field(default=None)
    rotary: tuple[Tensor, Tensor] | None = field(default=None)

    def hook(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Forward pre-hook: keep the layer's input."""
        hidden = args[0] if args else kwargs["hidden_states"]
        self.store(hidden, kwargs["position_embeddings"])

    def store(self, hidden_PSD: Tensor, rotary: tuple[Tensor, Tensor]) -> None:
        """Keep a layer's input and rotary tables, without gradient."""
        self.hidden_PSD, self.rotary = hidden_PSD.detach(), rotary


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
        queries: positions asked for, of completions that were packed.
        query_at: "predicting" or "value".

    Raises:
        ValueError: if `query_at` is unknown.
    """
    if query_at not in ("predicting", "value"):
        raise ValueError(f'query_at must be "predicting" or "value", got {query_at!r}')
    packing = capture.packing
    assert packing.used_PG[queries.pair, queries.completion].all(), "not packed"
    locate = packing.predicting if query_at == "predicting" else packing.holding
    position_Q = locate(queries.pair, queries.completion, queries.token)
    weights_Q2N = _weights(backbone, prefix, layer, capture, queries.pair, position_Q)
    weights_QN = torch.where(queries.second[:, None], weights_Q2N[:, 1], weights_Q2N[:, 0])
    return weights_QN / weights_QN.sum(1, keepdim=True).clamp_min(1e-12)


def _weights(
    backbone: Backbone,
    prefix: Prefix,
    layer: int,
    capture: LayerCapture,
    pair_Q: Tensor,
    position_Q: Tensor,
) -> Tensor:
    """Head-averaged softmax(QKᵀ) (Q, 2, N) from some positions to both images' tokens."""
    pair_U, row_Q = pair_Q.unique(return_inverse=True)  # pairs without a query need no keys
    place_Q, R = _places(row_Q, len(pair_U))
    position_UR = position_Q.new_zeros(len(pair_U), R).index_put((row_Q, place_Q), position_Q)
    heads = backbone.language.config.num_attention_heads
    S = capture.packing.block_PS.shape[1]
    portion = max(1, SCORES_BUDGET // max(1, heads * R * S))
    slots_2N = torch.stack([prefix.slots_a_N, prefix.slots_b_N])
    parts = zip(pair_U.split(portion), position_UR.split(portion))
    found_UR2N = torch.cat(
        [_of_pairs(backbone, layer, capture, slots_2N, pair, at) for pair, at in parts]
    )
    return found_UR2N[row_Q, place_Q]


def _places(row_Q: Tensor, rows: int) -> tuple[Tensor, int]:
    """Each query's place among those of its row, and how many the fullest row has."""
    one_QU = row_Q[:, None] == torch.arange(rows, device=row_Q.device)
    count_QU = one_QU.cumsum(0)
    place_Q = count_QU.gather(1, row_Q[:, None])[:, 0] - 1
    return place_Q, int(count_QU[-1].max()) if len(row_Q) else 0


def _of_pairs(
    backbone: Backbone,
    layer: int,
    capture: LayerCapture,
    slots_2N: Tensor,
    pair_U: Tensor,
    position_UR: Tensor,
) -> Tensor:
    """Weights (U, R, 2, N) from R positions of each of some pairs."""
    assert capture.hidden_PSD is not None and capture.rotary is not None
    decoder = backbone.language.layers[layer]
    attention = decoder.self_attn
    cos, sin = (table[pair_U] for table in capture.rotary)
    hidden_USD = decoder.input_layernorm(capture.hidden_PSD[pair_U])
    row_U1 = torch.arange(len(pair_U), device=pair_U.device)[:, None]
    here = row_U1, position_UR
    query_UHRd = _heads(attention, "q", hidden_USD[here], cos[here], sin[here])
    key_UKSd = _heads(attention, "k", hidden_USD, cos, sin)
    seen_URS = capture.packing.mask(pair_U[:, None], position_UR)
    # In float32, as a fused kernel has it inside, whatever the autocast.
    with torch.autocast(pair_U.device.type, enabled=False):
        U, K = key_UKSd.shape[:2]
        # The heads that share a key stand below each other, in one product.
        query_UKQd = (query_UHRd.float() * attention.scaling).reshape(U, K, -1, attention.head_dim)
        scores_UKQS = query_UKQd @ key_UKSd.float().transpose(2, 3)
        scores_UHRS = scores_UKQS.view(U, -1, *seen_URS.shape[1:])
        weights_UHRS = scores_UHRS.masked_fill_(~seen_URS[:, None], -torch.inf).softmax(-1)
        weights_URN = weights_UHRS.mean(1)[..., slots_2N.flatten()]
    return weights_URN.unflatten(2, slots_2N.shape)


def _heads(attention: Any, kind: str, hidden: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotated queries ("q") or keys ("k") of every head, (U, heads, positions, d)."""
    rotate = import_module(type(attention).__module__).apply_rotary_pos_emb
    projected = getattr(attention, f"{kind}_proj")(hidden).unflatten(-1, (-1, attention.head_dim))
    # Qwen3 normalises queries and keys per head; Qwen2, under some InternVL models, does not.
    norm = getattr(attention, f"{kind}_norm", None)
    states = (projected if norm is None else norm(projected)).transpose(1, 2)
    rotated: Tensor = rotate(states, states[:, :0], cos, sin)[0]
    return rotated
