"""Replay: re-score sampled completions with gradient into the encoder's tokens (phase C).

The completions of a pair are packed behind one copy of its prompt, each with restarted positions and
blind to the others, so the prompt (most of the tokens) runs once instead of G times. `replay_plain`
does the same one completion at a time; the tests hold the two equal in values and gradients.

Shapes: P pairs, G group size, T generated tokens, N image tokens, D width, S packed sequence, M of it
behind the prompt, K scored tokens.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from saga.encoders.tower import VisionTokens
from saga.supervisors.attention import LayerCapture
from saga.supervisors.backbone import Backbone, Prefix, Visual
from saga.supervisors.packed_attention import (
    TILE,
    Attention,
    attend_with,
    packed_attention,
    takes_flex,
)
from saga.supervisors.packing import Packing, pack
from saga.supervisors.rollout import Completions, token_log_probs

LOGITS_BUDGET = 1 << 26
"""Most logits in memory at once; above it they are computed in chunks and again in the backward."""
HIDDEN_BUDGET = 1 << 31
"""Most hidden values (tokens × width × layers) whose layers keep their activations for the backward.

A Qwen3 layer keeps some 14 times its input: 60 GB in bfloat16 at this budget, which is what a GPU of
141 GB has left beside a model of 8 billion parameters and its tower. It is three pairs of the paper's
lengths. Above it every layer keeps its input alone and runs again in the backward: a third more time.
"""


@dataclass(frozen=True, slots=True)
class Replay:
    """Scores of a batch of groups, and what the teacher's attention is computed from."""

    logp_PGT: Tensor
    """Log-probability of each token under the tempered distribution; 0 in the padding."""
    capture: LayerCapture | None
    """Input of the attention layer, if it was asked for."""


def replay_packed(
    backbone: Backbone,
    prefix: Prefix,
    a: VisionTokens,
    b: VisionTokens,
    completions: Completions,
    temperature: float,
    capture_layer: int | None = None,
    use_PG: Tensor | None = None,
) -> Replay:
    """Log-probabilities of all completions, with gradient into `a` and `b`.

    Args:
        backbone: the frozen language model.
        prefix: the prompt.
        a: tokens (P, N, D) of the first images; a leaf that collects the gradient, or part of one.
        b: tokens (P, N, D) of the second images.
        completions: the groups, (P, G, T).
        temperature: that of the rollout.
        capture_layer: decoder layer whose input is kept for the attention maps.
        use_PG: completions to replay; the log-probabilities of the others are 0. None takes all.
    """
    packing = _packed(backbone, prefix, completions, use_PG)
    capture = None if capture_layer is None else LayerCapture(packing)
    with _captured(backbone, capture_layer, capture):
        hidden_PSD = _run(backbone, prefix, a, b, completions, packing)
    return Replay(_score(backbone, hidden_PSD, completions, packing, temperature), capture)


@torch.no_grad()
def look_packed(
    backbone: Backbone,
    prefix: Prefix,
    a: VisionTokens,
    b: VisionTokens,
    completions: Completions,
    layer: int,
    use_PG: Tensor | None = None,
) -> LayerCapture:
    """Input of one decoder layer alone, without gradient: nothing behind it runs, nothing is scored.

    Args:
        backbone: the frozen language model.
        prefix: the prompt.
        a: tokens (P, N, D) of the first images.
        b: tokens (P, N, D) of the second images.
        completions: the groups, (P, G, T).
        layer: decoder layer whose input is wanted.
        use_PG: completions to read; None takes all.
    """
    packing = _packed(backbone, prefix, completions, use_PG)
    capture = LayerCapture(packing)
    with _ending_at(backbone, layer, capture):
        _run(backbone, prefix, a, b, completions, packing)
    return capture


def replay_plain(
    backbone: Backbone,
    prefix: Prefix,
    a: VisionTokens,
    b: VisionTokens,
    completions: Completions,
    temperature: float,
) -> Tensor:
    """The same log-probabilities (P, G, T), one completion at a time; slow, for comparison."""
    P, G, T = completions.tokens_PGT.shape
    out = []
    for p in range(P):
        for g in range(G):
            tokens_T = completions.tokens_PGT[p, g]
            pair = torch.tensor([p], device=backbone.device)
            embeds, visual = backbone.embed_pairs(prefix, a.index(pair), b.index(pair))
            embeds = torch.cat([embeds, backbone.embed(tokens_T[None, :-1])], 1)
            follow = prefix.next_position + torch.arange(T - 1, device=backbone.device)
            positions = torch.cat(
                [prefix.positions_RS, follow.expand(prefix.positions_RS.shape[0], -1)], 1
            )
            hidden = backbone.hidden(embeds, positions[:, None], visual=_extended(visual, T - 1))
            logp_TV = token_log_probs(backbone, hidden[0, len(prefix) - 1 :], temperature)
            logp_T = logp_TV.gather(1, tokens_T[:, None])[:, 0]
            inside_T = torch.arange(T, device=backbone.device) < completions.lengths_PG[p, g]
            out.append(torch.where(inside_T, logp_T, 0.0))
    return torch.stack(out).view(P, G, T)


def _packed(
    backbone: Backbone, prefix: Prefix, completions: Completions, use_PG: Tensor | None
) -> Packing:
    T = completions.tokens_PGT.shape[2]
    multiple = TILE if takes_flex(backbone.device) else 1
    return pack(len(prefix), completions.lengths_PG, T, use_PG, multiple)


def _run(
    backbone: Backbone,
    prefix: Prefix,
    a: VisionTokens,
    b: VisionTokens,
    completions: Completions,
    packing: Packing,
) -> Tensor:
    """Final hidden states (P, S, D) of the packed sequences."""
    embeds_PSD, visual = backbone.embed_pairs(prefix, a, b)
    embeds_PSD = torch.cat([embeds_PSD, backbone.embed(packing.ids(completions.tokens_PGT))], 1)
    P, S, D = embeds_PSD.shape
    axes = prefix.positions_RS.shape[0]
    restarted_PM = prefix.next_position + packing.token_PM
    positions_RPS = torch.cat(
        [prefix.positions_RS[:, None].expand(-1, P, -1), restarted_PM.expand(axes, -1, -1)], 2
    )
    attention = packed_attention(backbone, packing)
    again = torch.is_grad_enabled() and P * S * D * len(backbone.language.layers) > HIDDEN_BUDGET
    with attend_with(backbone, attention), _recomputed(backbone, attention, again):
        return backbone.hidden(embeds_PSD, positions_RPS, visual=_extended(visual, packing.more))


def _score(
    backbone: Backbone,
    hidden_PSD: Tensor,
    completions: Completions,
    packing: Packing,
    temperature: float,
) -> Tensor:
    """Log-probabilities at the generated tokens only, in chunks of bounded memory."""
    S0, (P, G) = packing.prefix_length, packing.used_PG.shape
    tokens_PGT, used_PG, fed_PGL = completions.tokens_PGT, packing.used_PG, packing.fed_PGL
    # The prompt's end predicts every first token; behind it each position predicts the next one.
    begin_KD = hidden_PSD[:, S0 - 1, None].expand(-1, G, -1)[used_PG]
    hidden_KD = torch.cat([begin_KD, hidden_PSD[:, S0:][packing.packed_PM]])
    token_K = torch.cat([tokens_PGT[..., 0][used_PG], tokens_PGT[..., 1:][fed_PGL]])

    def score(hidden: Tensor, token: Tensor) -> Tensor:
        return token_log_probs(backbone, hidden, temperature).gather(1, token[:, None])[:, 0]

    chunk = max(1, LOGITS_BUDGET // backbone.language.embed_tokens.num_embeddings)
    if len(token_K) <= chunk:
        logp_K = score(hidden_KD, token_K)
    else:
        parts = zip(hidden_KD.split(chunk), token_K.split(chunk))
        logp_K = torch.cat([checkpoint(score, h, t, use_reentrant=False) for h, t in parts])
    first_PG = logp_K.new_zeros(P, G).masked_scatter(used_PG, logp_K[: len(begin_KD)])
    later_PGL = logp_K.new_zeros(fed_PGL.shape).masked_scatter(fed_PGL, logp_K[len(begin_KD) :])
    return torch.cat([first_PG[..., None], later_PGL], 2)


def _extended(visual: Visual | None, more: int) -> Visual | None:
    """Deepstack features of a sequence that goes on for `more` positions without images."""
    if visual is None:
        return None
    blank = visual.mask_PS.new_zeros(visual.mask_PS.shape[0], more)
    return Visual(torch.cat([visual.mask_PS, blank], 1), visual.levels)


@contextmanager
def _captured(
    backbone: Backbone, layer: int | None, capture: LayerCapture | None
) -> Iterator[None]:
    """Hook that stores a decoder layer's input while the model runs."""
    if layer is None or capture is None:
        yield
        return
    decoder = backbone.language.layers[layer]
    handle = decoder.register_forward_pre_hook(capture.hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _ending_at(backbone: Backbone, layer: int, capture: LayerCapture) -> Iterator[None]:
    """The language model has a layer that only stores its input, and none behind it."""
    whole = backbone.language.layers
    backbone.language.layers = nn.ModuleList([*whole[:layer], _Store(capture)])
    try:
        yield
    finally:
        backbone.language.layers = whole


class _Store(nn.Module):
    """Stands for a decoder layer."""

    def __init__(self, capture: LayerCapture) -> None:
        super().__init__()
        self.capture = capture

    def forward(self, hidden: Tensor, **kwargs: Any) -> Tensor:
        self.capture.store(hidden, kwargs["position_embeddings"])
        return hidden


@contextmanager
def _recomputed(backbone: Backbone, attention: Attention, again: bool) -> Iterator[None]:
    """Layers keep their input alone and run again in the backward, with the same attention."""
    layers = list(backbone.language.layers) if again else []
    before = [vars(layer).get("forward") for layer in layers]

    def run(forward: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        with attend_with(backbone, attention):  # the backward runs later, and in its own thread
            return forward(*args, **kwargs)

    for layer in layers:  # not the whole call, whose hooks would run again as well
        layer.forward = partial(
            checkpoint, run, layer.forward, use_reentrant=False, preserve_rng_state=False
        )
    try:
        yield
    finally:
        for layer, forward in zip(layers, before):
            del layer.forward
            if forward is not None:
                layer.forward = forward
