"""Replay: re-score sampled completions with gradient into the encoder's tokens (phase C).

The completions of a pair are packed behind one copy of its prompt, each with restarted positions and
blind to the others, so the prompt (most of the tokens) runs once instead of G times. `replay_plain`
does the same one completion at a time; the tests hold the two equal in values and gradients.

Shapes: P pairs, G group size, T generated tokens, N image tokens, D width, S packed sequence.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from saga.encoders.tower import VisionTokens
from saga.supervisors.attention import LayerCapture
from saga.supervisors.backbone import Backbone, Prefix, Visual
from saga.supervisors.rollout import Completions, token_log_probs

LOGITS_BUDGET = 1 << 26
"""Most logits in memory at once; above it they are computed in chunks and again in the backward."""


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
    """
    P, G, T = completions.tokens_PGT.shape
    S0, L = len(prefix), T - 1  # the last token of a completion is predicted, never read
    fed_PM = completions.tokens_PGT[..., :L].reshape(P, G * L)
    embeds, visual = backbone.embed_pairs(prefix, a, b)
    embeds = torch.cat([embeds, backbone.embed(fed_PM)], 1)
    restarted_M = (prefix.next_position + torch.arange(L, device=backbone.device)).repeat(G)
    rows = prefix.positions_RS.shape[0]
    positions = torch.cat([prefix.positions_RS, restarted_M.expand(rows, -1)], 1)
    mask_SS = packed_mask(S0, G, L, backbone.device)
    capture = None if capture_layer is None else LayerCapture(S0, L, mask_SS)
    with _captured(backbone, capture_layer, capture):
        hidden = backbone.hidden(
            embeds,
            positions[:, None].expand(-1, P, -1),
            mask_SS.expand(P, 1, -1, -1),
            visual=_extended(visual, G * L),
        )
    first = hidden[:, None, S0 - 1 : S0].expand(-1, G, -1, -1)
    predicting_PGTD = torch.cat([first, hidden[:, S0:].view(P, G, L, -1)], 2)
    return Replay(_score(backbone, predicting_PGTD, completions, temperature), capture)


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


def packed_mask(S0: int, G: int, L: int, device: torch.device) -> Tensor:
    """Causal attention (S, S) of G completions of length L that share a prompt of length S0."""
    index_S = torch.arange(S0 + G * L, device=device)
    block_S = torch.where(index_S < S0, -1, (index_S - S0) // max(L, 1))
    causal = index_S[:, None] >= index_S[None]
    return causal & ((block_S[None] == -1) | (block_S[:, None] == block_S[None]))


def _score(
    backbone: Backbone, hidden_PGTD: Tensor, completions: Completions, temperature: float
) -> Tensor:
    """Log-probabilities at the generated tokens only, in chunks of bounded memory."""
    T = completions.tokens_PGT.shape[2]
    inside_PGT = torch.arange(T, device=hidden_PGTD.device) < completions.lengths_PG[..., None]
    hidden_ND, token_N = hidden_PGTD[inside_PGT], completions.tokens_PGT[inside_PGT]

    def score(hidden: Tensor, token: Tensor) -> Tensor:
        return token_log_probs(backbone, hidden, temperature).gather(1, token[:, None])[:, 0]

    chunk = max(1, LOGITS_BUDGET // backbone.language.embed_tokens.num_embeddings)
    if len(token_N) <= chunk:
        logp_N = score(hidden_ND, token_N)
    else:
        parts = zip(hidden_ND.split(chunk), token_N.split(chunk))
        logp_N = torch.cat([checkpoint(score, h, t, use_reentrant=False) for h, t in parts])
    return torch.zeros(inside_PGT.shape, device=logp_N.device).masked_scatter(inside_PGT, logp_N)


def _extended(visual: Visual | None, more: int) -> Visual | None:
    """Deepstack features of a sequence that goes on for `more` positions without images."""
    if visual is None:
        return None
    blank = visual.mask_PS.new_zeros(visual.mask_PS.shape[0], more)
    return Visual(torch.cat([visual.mask_PS, blank], 1), visual.levels)


class _captured:  # noqa: N801
    """Hook that stores a decoder layer's input while the model runs."""

    def __init__(self, backbone: Backbone, layer: int | None, capture: LayerCapture | None) -> None:
        self.layer = None if layer is None else backbone.language.layers[layer]
        self.capture = capture
        self.handle = None

    def __enter__(self) -> None:
        if self.layer is not None and self.capture is not None:
            self.handle = self.layer.register_forward_pre_hook(self.capture.store, with_kwargs=True)

    def __exit__(self, *_: object) -> None:
        if self.handle is not None:
            self.handle.remove()
