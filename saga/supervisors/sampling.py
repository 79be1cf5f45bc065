"""The distribution of the next token, and draws from its nucleus.

The random numbers come from outside and nothing here waits for the host, so that a draw can be part of a
CUDA graph. Tokens are ordered by falling probability, equal ones by their id: a draw depends on the
distribution and the number alone, not on the other rows.

Shapes: R rows, V vocabulary, C candidates for the nucleus.
"""

import torch
from torch import Tensor

from saga.supervisors.backbone import Backbone

NUCLEUS_LIMIT = 1024
"""Most tokens a nucleus may have; one that would have more is cut to the likeliest. To order a whole
vocabulary of 150,000 at every token would be slow, and a trained model's nucleus is far smaller."""

FEW = 8
"""Candidates that are tried first where looking at the result is free, on the CPU."""


def token_log_probs(backbone: Backbone, hidden: Tensor, temperature: float) -> Tensor:
    """Tempered log-probabilities (…, V) with image tokens banned."""
    logits = backbone.logits(hidden) / temperature
    for token in banned_tokens(backbone):  # a list of them as an index would come from the host
        logits.select(-1, token).fill_(-torch.inf)
    return logits.log_softmax(-1)


def banned_tokens(backbone: Backbone) -> list[int]:
    """Placeholders of images and videos: in a completion they would have no features."""
    video = getattr(backbone.config, "video_token_id", None)
    vocabulary = backbone.language.embed_tokens.num_embeddings
    tokens = {backbone.image_token_id, video} - {None}
    return sorted(int(t) for t in tokens if t is not None and t < vocabulary)


def sample(logp_RV: Tensor, uniform_R: Tensor, top_p: float) -> Tensor:
    """One token per row from the nucleus of mass `top_p`, by inverse distribution function.

    Args:
        logp_RV: log-probabilities.
        uniform_R: numbers in [0, 1), one a row.
        top_p: mass after which the nucleus ends; the token that reaches it still belongs to it.
    """
    if looking_is_free(logp_RV.device):
        order_RC, logp_RC = _likeliest(logp_RV, FEW)
        mass_RC, last_R1 = _nucleus(logp_RC, top_p)
        # Equal to the least candidate there may be others, whose turn it would be.
        if bool((logp_RC.gather(1, last_R1) > logp_RC[:, -1:]).all()):
            return _inverse(order_RC, mass_RC, last_R1, uniform_R)
    order_RC, logp_RC = _likeliest(logp_RV, NUCLEUS_LIMIT)
    return _inverse(order_RC, *_nucleus(logp_RC, top_p), uniform_R)


def looking_is_free(device: torch.device) -> bool:
    """Whether the host can read a tensor without waiting for the device."""
    return device.type == "cpu"


def _likeliest(logp_RV: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The likeliest tokens in order, and their log-probabilities; both (R, C)."""
    if count >= logp_RV.shape[-1]:
        logp_RC, order_RC = logp_RV.sort(dim=-1, descending=True, stable=True)
        return order_RC, logp_RC
    # The order in which equal values come is the kernel's own affair, so it is made anew.
    by_id_RC = logp_RV.topk(count, dim=-1, sorted=False).indices.sort(dim=-1).values
    logp_RC, place_RC = logp_RV.gather(1, by_id_RC).sort(dim=-1, descending=True, stable=True)
    return by_id_RC.gather(1, place_RC), logp_RC


def _nucleus(logp_RC: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """The mass up to each candidate (R, C), and which is the nucleus' last (R, 1)."""
    mass_RC = logp_RC.exp().cumsum(-1)
    return mass_RC, (mass_RC[:, :-1] < top_p).sum(-1, keepdim=True)


def _inverse(order_RC: Tensor, mass_RC: Tensor, last_R1: Tensor, uniform_R: Tensor) -> Tensor:
    """The token in whose share of the nucleus' mass the number falls."""
    total_R1 = mass_RC.gather(1, last_R1)
    rank_R1 = (mass_RC <= uniform_R[:, None] * total_R1).sum(-1, keepdim=True)
    return order_RC.gather(1, torch.minimum(rank_R1, last_R1))[:, 0]
