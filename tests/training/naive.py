"""One training step written out plainly: one graph from pixels to the total loss, no tricks.

No detached tokens, no packing, no chunks, no fused attention: every completion is a sequence of its own,
teacher attention is read off transformers' eager weights, every loss is its equation.
"""

from typing import Any

import torch
from torch import Tensor

from saga.encoders.tower import VisionTokens
from saga.supervisors.replay import replay_plain
from saga.training.buffer import Buffer
from saga.training.microbatch import MicroBatch
from saga.training.trainer import Trainer


def total_loss(
    trainer: Trainer, micros: list[MicroBatch], pixels: list[Tensor], buffer: Buffer
) -> tuple[Tensor, dict[str, Tensor]]:
    """Weighted sum of the three terms over a step's micro-batches, and each term."""
    tokens = [trainer.tower(p) for p in pixels]
    dml = torch.stack(
        [
            trainer.metric_loss(trainer.pooler(t.tokens_BND).embedding_BE, micro.labels_B)[0]
            for t, micro in zip(tokens, micros)
        ]
    ).mean()
    place = {id(micro): i for i, micro in enumerate(micros)}
    rounds = [(tokens[place[id(held.micro)]], held) for held in buffer.rounds]
    seen = [pixels[place[id(held.micro)]] for held in buffer.rounds]
    policy = policy_loss(trainer, rounds, seen)
    terms = {"dml": dml, "grpo": policy, "kl": alignment(trainer, rounds)}
    weights = trainer.settings.weights
    total = sum(getattr(weights, name) * value for name, value in terms.items())
    return total, terms  # type: ignore[return-value]


def policy_loss(trainer: Trainer, rounds: list[Any], pixels: list[Tensor]) -> Tensor:
    """−(1/|T|) Σ A log π with the sample standard deviation, a completion at a time.

    With β, (β/|T|) Σ (π₀/π − log π₀/π − 1) more, where π₀ sees the untrained tower's tokens.
    """
    total, count, beta = torch.zeros(()), 0, trainer.settings.reference_beta
    for (tokens, held), of_round in zip(rounds, pixels):
        logp_PGT = plain_scores(trainer, tokens, held)
        if beta:
            with torch.no_grad():
                reference_PGT = plain_scores(trainer, trainer.gatherer.reference(of_round), held)
        for p, rewards in enumerate(held.verdicts.rewards_PG.tolist()):
            mean = sum(rewards) / len(rewards)
            variance = sum((r - mean) ** 2 for r in rewards) / (len(rewards) - 1)
            for g, reward in enumerate(rewards):
                length = int(held.verdicts.completions.lengths_PG[p, g])
                total = (
                    total + (reward - mean) / (variance**0.5 + 1e-4) * logp_PGT[p, g, :length].sum()
                )
                count += length
                if beta:
                    ratio = (reference_PGT - logp_PGT)[p, g, :length].exp()
                    total = total - beta * (ratio - ratio.log() - 1).sum()
    return -total / count


def plain_scores(trainer: Trainer, tokens: VisionTokens, held: Any) -> Tensor:
    """Log-probabilities of a round's completions, given a batch's tokens."""
    supervisor = trainer.supervisor
    assert supervisor is not None
    return replay_plain(
        supervisor.backbone,
        supervisor.prefix,
        tokens.index(held.first_P),
        tokens.index(held.second_P),
        held.verdicts.completions,
        trainer.settings.rollout.temperature,
    )


def alignment(trainer: Trainer, rounds: list[Any]) -> Tensor:
    """Mean over images of KL(teacher ‖ pooler), on detached tokens."""
    terms = []
    for tokens, held in rounds:
        tokens = tokens.detach()
        for p in range(len(held.first_P)):
            for second, images in enumerate((held.first_P, held.second_P)):
                teacher = teacher_map(trainer, tokens, held, p, bool(second))
                image = int(images[p])
                log_beta = trainer.pooler(tokens.tokens_BND[image : image + 1]).log_weights_BQN
                assert log_beta is not None
                terms.append((teacher * (teacher.log() - log_beta[0, 0])).sum())
    return torch.stack(terms).mean()


@torch.no_grad()
def teacher_map(trainer: Trainer, tokens: VisionTokens, held: Any, p: int, second: bool) -> Tensor:
    """Eager attention of the tokens that predict an image's values, over its right completions."""
    supervisor = trainer.supervisor
    assert supervisor is not None
    prefix, verdicts = supervisor.prefix, held.verdicts
    slots = prefix.slots_b_N if second else prefix.slots_a_N
    by_attribute: dict[int, list[Tensor]] = {}
    for g, answer in enumerate(verdicts.answers[p]):
        if verdicts.rewards_PG[p, g] != 1:
            continue
        ids = verdicts.completions.tokens_PGT[p, g, : int(verdicts.completions.lengths_PG[p, g])]
        weights = eager_weights(trainer, tokens, held.first_P[p], held.second_P[p], ids)
        places = value_places(supervisor, ids[:-1].tolist(), answer, second)
        for attribute, positions in enumerate(places):
            rows = torch.stack([weights[len(prefix) - 1 + t, slots] for t in positions])
            rows = rows / rows.sum(1, keepdim=True)
            by_attribute.setdefault(attribute, []).append(rows.mean(0))
    return torch.stack([torch.stack(maps).mean(0) for maps in by_attribute.values()]).mean(0)


def value_places(supervisor: Any, ids: list[int], answer: Any, second: bool) -> list[list[int]]:
    """For each attribute, the tokens whose bytes are part of its value.

    Found by cutting the text as bytes, not as characters as the library does.
    """
    pieces = [supervisor.backbone.tokenizer.convert_ids_to_tokens(i) for i in ids]
    assert all(len(piece) == 1 for piece in pieces), "one token per byte"
    text = supervisor.backbone.tokenizer.decode(ids)
    places = []
    for start, end in answer.value_spans_b if second else answer.value_spans_a:
        first, last = len(text[:start].encode()), len(text[:end].encode())
        places.append(list(range(first, last)))
    return places


def eager_weights(
    trainer: Trainer, tokens: VisionTokens, first: Tensor, second: Tensor, ids: Tensor
) -> Tensor:
    """Head-averaged attention (S, S) of the teaching layer over one unpacked sequence."""
    supervisor = trainer.supervisor
    assert supervisor is not None
    backbone, prefix = supervisor.backbone, supervisor.prefix
    a, b = tokens.index(first[None]), tokens.index(second[None])
    embeds, visual = backbone.embed_pairs(prefix, a, b)
    embeds = torch.cat([embeds, backbone.embed(ids[None, :-1])], 1)
    follow = prefix.next_position + torch.arange(len(ids) - 1)
    positions = torch.cat([prefix.positions_RS, follow.expand(prefix.positions_RS.shape[0], -1)], 1)
    if visual is not None:
        blank = torch.zeros(1, len(ids) - 1, dtype=torch.bool)
        visual = type(visual)(torch.cat([visual.mask_PS, blank], 1), visual.levels)
    kept: dict[str, Tensor] = {}
    attention = backbone.language.layers[supervisor.layer].self_attn
    hook = attention.register_forward_hook(lambda module, args, out: kept.update(weights=out[1]))
    before = attention.config._attn_implementation
    attention.config._attn_implementation = "eager"
    try:
        backbone.hidden(embeds, positions[:, None], visual=visual)
    finally:
        hook.remove()
        attention.config._attn_implementation = before
    return kept["weights"][0].mean(0)
