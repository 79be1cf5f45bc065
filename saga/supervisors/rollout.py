"""Rollouts: G completions per pair, sampled from the frozen model without gradient (phase B).

The prompt of each pair is prefilled once and its keys and values kept once; the completions of all
pairs are decoded in one batch. The host looks at the batch every few tokens: completions that have ended
then leave it. On a GPU the steps between are replays of a CUDA graph.

A completion depends on its pair's tokens and seed alone, not on the other pairs of the batch nor on the
pace: the random numbers of each pair come from a generator of its own, and sampling is by inverse
distribution function. (Up to rounding: in half precision a sum in another order can tip a draw.)
Log-probabilities are those of the tempered distribution without image tokens, before the nucleus is cut,
as in the replay.

Nothing of a prompt is kept for the next batch: the images come before the instruction, so all that does
not depend on them is the chat format before the first image, 4 tokens of Qwen3-VL's and InternVL's some
600 and 1 of the embedded supervisor's. To keep them would save less than 1 % of the prefill.

Shapes: P pairs, G group size, N image tokens, T generated tokens, R = P·G rows, S prompt tokens, D token
width, E model width.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from saga.encoders.tower import VisionTokens
from saga.supervisors.backbone import Backbone, Prefix
from saga.supervisors.configuration import RolloutConfig
from saga.supervisors.generation import NOTHING, Generation, Sampling
from saga.supervisors.pace import Pace, drive, pace_of
from saga.supervisors.sampling import banned_tokens, sample, token_log_probs
from saga.supervisors.workspace import workspace

__all__ = ["Completions", "banned_tokens", "roll_out", "sample", "token_log_probs"]

PREFILL_TOKENS = {"cpu": 3 << 10, "cuda": 1 << 14}
"""Prompt tokens that are run at once: what they need beside their keys and values is bounded. On a CPU
more than fit its cache take longer."""


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


@torch.no_grad()
def roll_out(
    backbone: Backbone,
    prefix: Prefix,
    a: VisionTokens,
    b: VisionTokens,
    config: RolloutConfig,
    seeds: list[int],
    *,
    graphs: bool | None = None,
    pace: Pace | None = None,
    forced_lengths_PG: Tensor | None = None,
) -> Completions:
    """Sample a group of completions for each pair.

    Args:
        backbone: the frozen language model.
        prefix: the prompt.
        a: tokens of the first images, (P, N, D).
        b: tokens of the second images, (P, N, D).
        config: group size, temperature, nucleus, length.
        seeds: one per pair.
        graphs: whether steps are CUDA graphs; None: on a GPU, at a pace that keeps its buffers.
        pace: how the batch is driven; None: what suits the device.
        forced_lengths_PG: for benchmarks and tests: length of each completion in tokens, its end
            token included. The end is banned before and comes there. `logp_PGT` is of the model's
            own distribution nevertheless.

    Raises:
        ValueError: if the number of seeds is not the number of pairs, graphs are wanted without a
            GPU or without buffers that stay, or forced lengths have another shape than (P, G) or lie
            outside 1 to the limit.
    """
    P, G, limit = a.tokens_BND.shape[0], config.group_size, config.max_new_tokens
    if len(seeds) != P:
        raise ValueError(f"one seed per pair is needed: {P} pairs, {len(seeds)} seeds")
    if forced_lengths_PG is not None:
        _check_lengths(forced_lengths_PG, P, G, limit)
    pace = pace or pace_of(backbone.device)
    graphs = _graphs(graphs, pace, backbone.device)
    sampling = Sampling(config.temperature, config.top_p, forced_lengths_PG is not None)
    uniform_TR = torch.cat([_uniform(seed, G, limit) for seed in seeds]).T.to(backbone.device)
    space, hidden = None, []
    for first, prompts, hidden_PE in _prefill(backbone, prefix, a, b):
        with _precision(backbone):
            space = space or workspace(
                backbone, prefix, prompts, P, G, sampling, limit, pace, graphs
            )
        for layer, (keys, values) in enumerate(prompts):
            space.generation.memory.put(layer, first, keys, values)
        hidden.append(hidden_PE.repeat_interleave(G, 0))
    assert space is not None
    with _precision(backbone):
        lengths = None if forced_lengths_PG is None else forced_lengths_PG.flatten()
        space.generation.begin(torch.cat(hidden), uniform_TR, lengths)
        drive(space.generation, P * G, pace, space.step)
    return _completions(backbone, space.generation, P, G)


def _prefill(
    backbone: Backbone, prefix: Prefix, a: VisionTokens, b: VisionTokens
) -> Iterator[tuple[int, list[tuple[Tensor, Tensor]], Tensor]]:
    """Run the prompts, some pairs at a time.

    Yields:
        the first pair, keys and values of each layer, and the last hidden states (pairs, E).
    """
    from transformers import DynamicCache

    P = a.tokens_BND.shape[0]
    budget = PREFILL_TOKENS.get(backbone.device.type, PREFILL_TOKENS["cuda"])
    for chunk in torch.arange(P).split(max(1, budget // len(prefix))):
        embeds, visual = backbone.embed_pairs(prefix, a.index(chunk), b.index(chunk))
        positions = prefix.positions_RS[:, None].expand(-1, len(chunk), -1)
        cache = DynamicCache()
        hidden_PSE = backbone.hidden(embeds, positions, cache=cache, visual=visual)
        prompts = [_keys_and_values(layer) for layer in cache.layers]
        yield int(chunk[0]), prompts, hidden_PSE[:, -1]


def _keys_and_values(layer: Any) -> tuple[Tensor, Tensor]:
    return layer.keys, layer.values


def _completions(backbone: Backbone, generation: Generation, P: int, G: int) -> Completions:
    """What was recorded, one pair after the other."""
    tokens_TR = generation.tokens_TN[:, : P * G]
    lengths_R = (tokens_TR != NOTHING).sum(0)
    ended_R = torch.isin(tokens_TR, generation.ends).any(0)
    T = int(lengths_R.max())
    pad = backbone.tokenizer.pad_token_id
    padding = backbone.end_token_ids[0] if pad is None else pad
    tokens_RT = tokens_TR[:T].T.masked_fill(tokens_TR[:T].T == NOTHING, padding)
    return Completions(
        tokens_RT.reshape(P, G, T),
        lengths_R.view(P, G),
        ended_R.view(P, G),
        generation.logps_TN[:T, : P * G].T.reshape(P, G, T),
    )


def _precision(backbone: Backbone) -> torch.autocast:
    """Autocast as it is, but off for weights that are of its type: it would change nothing."""
    kind = backbone.device.type
    cast_to = torch.get_autocast_dtype(kind)
    wanted = torch.is_autocast_enabled(kind)
    stored = backbone.language.embed_tokens.weight.dtype
    # What a graph captures must not be a tensor that autocast caches and drops.
    return torch.autocast(kind, cast_to, wanted and stored != cast_to, cache_enabled=False)


def _graphs(wanted: bool | None, pace: Pace, device: torch.device) -> bool:
    possible = device.type == "cuda" and pace.kept
    if wanted and not possible:
        raise ValueError(
            f"CUDA graphs need a GPU and a pace that keeps its buffers; the supervisor is on {device}, "
            f"and buffers are {'' if pace.kept else 'not '}kept"
        )
    return possible if wanted is None else wanted


def _check_lengths(lengths_PG: Tensor, P: int, G: int, limit: int) -> None:
    if lengths_PG.shape != (P, G):
        raise ValueError(f"forced lengths must be {(P, G)}, got {tuple(lengths_PG.shape)}")
    if lengths_PG.min() < 1 or lengths_PG.max() > limit:
        raise ValueError(
            f"forced lengths must be 1 to max_new_tokens ({limit}), got "
            f"{int(lengths_PG.min())} to {int(lengths_PG.max())}"
        )


def _uniform(seed: int, G: int, T: int) -> Tensor:
    """Random numbers (G, T) of one pair, always drawn on the CPU."""
    return torch.rand(G, T, generator=torch.Generator().manual_seed(seed))
