"""Rollouts: G completions per pair, sampled from the frozen model without gradient (phase B).

The prompt of each pair is prefilled once and its keys and values kept once; the completions of all
pairs are decoded in one batch. Completions that have ended leave the batch.

A completion depends on its pair's tokens and seed alone, not on the other pairs of the batch: the
random numbers of each pair come from a generator of its own, and sampling is by inverse distribution
function. Log-probabilities are those of the tempered distribution without image tokens, before the
nucleus is cut, as in the replay.

Shapes: P pairs, G group size, T generated tokens, R rows still decoding, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from saga.encoders.tower import VisionTokens
from saga.supervisors.backbone import Backbone, Prefix
from saga.supervisors.configuration import RolloutConfig
from saga.supervisors.shared_prefix import SharedPrefixCache

COMPACT_SHARE = 0.25
"""Ended rows are taken out of the cache once they are this share of it."""


@dataclass(frozen=True, slots=True)
class Completions:
    """Sampled token ids, padded behind the end token."""

    tokens_PGT: Tensor
    """Token ids; the end token belongs to the completion."""
    lengths_PG: Tensor
    """Generated tokens, end token included."""
    ended_PG: Tensor
    """Whether the end token came before the limit."""
    logp_PGT: Tensor
    """Log-probability of each token when it was sampled; 0 in the padding."""

    def select(self, pairs: Tensor) -> "Completions":
        """The groups of some pairs, cut to their longest completion."""
        lengths = self.lengths_PG[pairs]
        T = int(lengths.max()) if lengths.numel() else 0
        return Completions(
            self.tokens_PGT[pairs, :, :T],
            lengths,
            self.ended_PG[pairs],
            self.logp_PGT[pairs, :, :T],
        )


def token_log_probs(backbone: Backbone, hidden: Tensor, temperature: float) -> Tensor:
    """Tempered log-probabilities (…, V) with image tokens banned."""
    logits = backbone.logits(hidden) / temperature
    logits[..., banned_tokens(backbone)] = -torch.inf
    return logits.log_softmax(-1)


def banned_tokens(backbone: Backbone) -> list[int]:
    """Placeholders of images and videos: in a completion they would have no features."""
    video = getattr(backbone.config, "video_token_id", None)
    vocabulary = backbone.language.embed_tokens.num_embeddings
    tokens = {backbone.image_token_id, video} - {None}
    return sorted(int(t) for t in tokens if t is not None and t < vocabulary)


def sample(logp_RV: Tensor, uniform_R: Tensor, top_p: float) -> Tensor:
    """One token per row from the nucleus of mass `top_p`, by inverse distribution function."""
    ordered_RV, order_RV = logp_RV.exp().sort(dim=-1, descending=True, stable=True)
    mass_RV = ordered_RV.cumsum(-1)
    # A token is in the nucleus if the mass before it has not reached top_p; the first always is.
    inside_RV = (mass_RV - ordered_RV) < top_p
    total_R = (ordered_RV * inside_RV).sum(-1)
    rank_R = (mass_RV <= (uniform_R * total_R)[:, None]).sum(-1)
    rank_R = torch.minimum(rank_R, inside_RV.sum(-1) - 1)
    return order_RV.gather(1, rank_R[:, None])[:, 0]


@torch.no_grad()
def roll_out(
    backbone: Backbone,
    prefix: Prefix,
    a: VisionTokens,
    b: VisionTokens,
    config: RolloutConfig,
    seeds: list[int],
) -> Completions:
    """Sample a group of completions for each pair.

    Args:
        backbone: the frozen language model.
        prefix: the prompt.
        a: tokens of the first images, (P, N, D).
        b: tokens of the second images, (P, N, D).
        config: group size, temperature, nucleus, length.
        seeds: one per pair.

    Raises:
        ValueError: if the number of seeds is not the number of pairs.
    """
    P, G, limit = a.tokens_BND.shape[0], config.group_size, config.max_new_tokens
    if len(seeds) != P:
        raise ValueError(f"one seed per pair is needed: {P} pairs, {len(seeds)} seeds")
    device = backbone.device
    uniform_RT = torch.cat([_uniform(seed, G, limit) for seed in seeds]).to(device)
    ends = torch.tensor(backbone.end_token_ids, device=device)
    pad = backbone.tokenizer.pad_token_id
    tokens = torch.full((P * G, limit), pad if pad is not None else int(ends[0]), device=device)
    logps = torch.zeros(P * G, limit, device=device)
    lengths = torch.zeros(P * G, dtype=torch.long, device=device)
    ended = torch.zeros(P * G, dtype=torch.bool, device=device)

    embeds, visual = backbone.embed_pairs(prefix, a, b)
    cache = SharedPrefixCache(backbone.depth)
    positions = prefix.positions_RS[:, None].expand(-1, P, -1)
    hidden_PD = backbone.hidden(embeds, positions, cache=cache, visual=visual)[:, -1]
    hidden_RD = hidden_PD.repeat_interleave(G, 0)
    rows = torch.arange(P * G, device=device)

    with cache.shared(backbone.language.config, G):
        for t in range(limit):
            logp_RV = token_log_probs(backbone, hidden_RD, config.temperature)
            token_R = sample(logp_RV, uniform_RT[rows, t], config.top_p)
            live = ~ended[rows]
            tokens[rows[live], t] = token_R[live]
            logps[rows[live], t] = logp_RV.gather(1, token_R[:, None])[live, 0]
            lengths[rows[live]] = t + 1
            ended[rows] |= torch.isin(token_R, ends)
            live = ~ended[rows]
            if t + 1 == limit or not live.any():
                break
            if live.float().mean() <= 1 - COMPACT_SHARE:
                kept = live.nonzero()[:, 0]
                rows, token_R = rows[kept], token_R[kept]
                cache.keep(kept)
            position = torch.full(
                (prefix.positions_RS.shape[0], len(rows), 1),
                prefix.next_position + t,
                device=device,
            )
            hidden_RD = backbone.hidden(backbone.embed(token_R[:, None]), position, cache=cache)[
                :, -1
            ]

    T = int(lengths.max())
    return Completions(
        tokens[:, :T].view(P, G, T),
        lengths.view(P, G),
        ended.view(P, G),
        logps[:, :T].view(P, G, T),
    )


def _uniform(seed: int, G: int, T: int) -> Tensor:
    """Random numbers (G, T) of one pair, always drawn on the CPU."""
    return torch.rand(G, T, generator=torch.Generator().manual_seed(seed))
