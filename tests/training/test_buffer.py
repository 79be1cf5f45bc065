"""DAPO's dynamic sampling: what is kept, what is counted, when it stops."""

import pytest
import torch

from saga.encoders.tower import VisionTokens
from saga.errors import UserInputError
from saga.supervisors.rollout import Completions
from saga.supervisors.supervisor import Verdicts
from saga.training.alignment import alignment_gradients, match_queries, teachers_of
from saga.training.buffer import Buffer
from saga.training.microbatch import MicroBatch, leaf_of
from saga.training.ranks import Ranks
from saga.training.terms import policy_gradients
from saga.training.trainer import Trainer
from tests.training.made import made_arm, made_pairs, script_answers
from tests.training.test_step import made_trainer, watched_step

ANSWER = object()
"""Stands for a parsed answer."""


def round_of(rewards, same, lengths=None, unparsed=()):
    """A micro-batch of as many pairs as there are rows, and what was said about them."""
    rewards_PG = torch.tensor(rewards, dtype=torch.float32)
    P, G = rewards_PG.shape
    lengths_PG = torch.full((P, G), 4) if lengths is None else torch.tensor(lengths)
    T = int(lengths_PG.max())
    tokens = VisionTokens(torch.zeros(2 * P, 3, 2))
    pairs = [(2 * p, 2 * p + 1, bool(s)) for p, s in enumerate(same)]
    micro = MicroBatch(tokens, leaf_of(tokens), torch.zeros(2 * P), pairs)
    numbered = torch.arange(P)[:, None, None].expand(P, G, T)
    completions = Completions(
        numbered.clone(), lengths_PG, torch.ones(P, G, dtype=torch.bool), torch.zeros(P, G, T)
    )
    answers = [[None if (p, g) in unparsed else ANSWER for g in range(G)] for p in range(P)]
    return micro, Verdicts(completions, answers, rewards_PG)


def test_only_pairs_whose_rewards_differ_are_kept_in_order():
    buffer = Buffer(capacity=5)
    buffer.add(*round_of([[1, 1], [1, 0], [0, 0], [0, 1]], [1, 0, 1, 0]))
    (held,) = buffer.rounds
    assert held.first_P.tolist() == [2, 6] and held.second_P.tolist() == [3, 7]
    assert held.verdicts.rewards_PG.tolist() == [[1, 0], [0, 1]]
    assert held.verdicts.completions.tokens_PGT[:, 0, 0].tolist() == [1, 3]
    assert buffer.kept == 2 and not buffer.full


def test_a_round_without_a_contributing_pair_leaves_no_trace_but_in_the_figures():
    buffer = Buffer(capacity=2)
    buffer.add(*round_of([[1, 1], [0, 0]], [1, 0]))
    assert buffer.rounds == [] and buffer.kept == buffer.tokens == 0
    assert buffer.metrics()["rollout/pairs"] == 2 and buffer.metrics()["rollout/contributing"] == 0


def test_it_never_holds_more_than_its_capacity_and_counts_tokens_of_what_it_holds():
    buffer = Buffer(capacity=3)
    buffer.add(*round_of([[1, 0], [1, 0]], [1, 1], lengths=[[2, 3], [5, 1]]))
    buffer.add(*round_of([[1, 0], [1, 0], [1, 1]], [1, 1, 1], lengths=[[7, 7], [9, 9], [9, 9]]))
    assert buffer.full and buffer.kept == 3 and len(buffer.rounds) == 2
    assert buffer.tokens == 2 + 3 + 5 + 1 + 7 + 7
    # What is kept is cut to its own longest completion.
    assert buffer.rounds[1].verdicts.completions.tokens_PGT.shape == (1, 2, 7)
    buffer.add(*round_of([[1, 0]], [1]))
    assert buffer.kept == 3 and len(buffer.rounds) == 2


def test_figures_are_means_over_all_pairs_seen_however_they_came_in_rounds():
    buffer = Buffer(capacity=1)
    buffer.add(*round_of([[1, 0, 0, 0]], [1], lengths=[[8, 8, 8, 4]], unparsed={(0, 3)}))
    buffer.add(
        *round_of(
            [[1, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]],
            [1, 0, 0],
            lengths=[[4] * 4, [4] * 4, [8] * 4],
            unparsed={(2, 0), (2, 1)},
        )
    )
    assert buffer.metrics() == {
        "rollout/reward": pytest.approx((0.25 + 1 + 0.5 + 0) / 4),
        "rollout/reward_same": pytest.approx((0.25 + 1) / 2),
        "rollout/reward_different": pytest.approx((0.5 + 0) / 2),
        "rollout/parsed": pytest.approx(13 / 16),
        "rollout/length": pytest.approx((7 + 4 + 4 + 8) / 4),
        "rollout/contributing": 2 / 4,
        "rollout/pairs": 4.0,
        "rollout/kept": 1.0,
        "rollout/discarded": 0.0,
    }


@pytest.fixture
def uneven():
    """Pairs 0 to 3, of 40, 4, 30 and 12 tokens; of these 30, 4, 2 and 12 are right."""
    buffer = Buffer(capacity=4, prompt=2)
    buffer.add(*round_of([[1, 0], [1, 0]], [1, 1], lengths=[[30, 10], [4, 0]]))
    buffer.add(*round_of([[1, 0], [1, 0]], [1, 0], lengths=[[2, 28], [12, 0]]))
    return buffer


def test_ranks_have_about_as_many_tokens_to_replay(uneven):
    # With two tokens of prompt a pair: 42 + 6 and 32 + 14.
    tokens = [
        sum(int(held.verdicts.completions.lengths_PG.sum()) for held in uneven.share(rank)[0])
        for rank in (Ranks(0, 2), Ranks(1, 2))
    ]
    assert tokens == [44, 42]
    assert [uneven.share(Ranks(rank, 2), 3)[1] for rank in (0, 1)] == [2, 1]


def test_pairs_that_teach_attention_alone_are_shared_out_among_all(uneven):
    # Of the first three, 30 right tokens against 4 and 2.
    shares = [uneven.share_of_first(Ranks(rank, 2), 3) for rank in (0, 1)]
    tokens = [
        [held.verdicts.completions.lengths_PG.sum(1).tolist() for held in rounds]
        for rounds in shares
    ]
    assert tokens == [[[40]], [[4], [30]]]
    assert sum(len(held.first_P) for held in uneven.share_of_first(Ranks())) == 4


# In the trainer ----------------------------------------------------------------------------------


def test_pairs_are_drawn_until_enough_contribute(birds, tiny, prompt, monkeypatch):
    asked = script_answers(monkeypatch, prompt, lambda p, g: g == 0 if p in (1, 6, 7) else None)
    trainer = made_trainer(birds, tiny, max_rounds=5, steps=1)
    metrics, micros, _, buffer = watched_step(trainer)
    assert asked == [4, 4] and len(micros) == 2 and buffer.kept == 3
    assert metrics["rollout/rounds"] == 2 and metrics["rollout/pairs"] == 8
    assert metrics["rollout/contributing"] == 3 / 8
    # Parsed: all four of three groups.
    assert metrics["rollout/parsed"] == pytest.approx(12 / 32)
    labels = [micro.labels_B.tolist() for micro in micros]
    assert all(len(set(batch)) == 4 and len(batch) == 8 for batch in labels)


def test_attempts_are_capped_and_the_step_uses_what_there_is(birds, tiny, prompt, monkeypatch):
    asked = script_answers(monkeypatch, prompt, lambda p, g: g == 0 if p == 5 else None)
    trainer = made_trainer(birds, tiny, max_rounds=4, steps=1)
    metrics, micros, _, buffer = watched_step(trainer)
    assert asked == [4] * 4 and len(micros) == 4 and buffer.kept == 1 and not buffer.full
    assert metrics["loss/grpo"] != 0 and metrics["alignment/images"] == 2


def test_a_step_in_which_nothing_contributes_learns_from_the_metric_loss_alone(
    birds, tiny, prompt, monkeypatch
):
    script_answers(monkeypatch, prompt, lambda p, g: None)
    trainer = made_trainer(birds, tiny, max_rounds=2, steps=1)
    query = trainer.pooler.query_QD.detach().clone()
    metrics = trainer.step()
    assert metrics["rollout/kept"] == 0 and metrics["loss/dml"] != 0
    assert not {"loss/grpo", "loss/kl", "gradient/theta_grpo"} & metrics.keys()
    assert not torch.equal(trainer.pooler.query_QD, query)


def test_balanced_pairs_are_asked_about(birds, tiny, prompt, monkeypatch):
    script_answers(monkeypatch, prompt)
    _, micros, _, _ = watched_step(made_trainer(birds, tiny, steps=1))
    for micro in micros:
        assert [same for *_, same in micro.pairs].count(True) == 2
        for first, second, same in micro.pairs:
            assert first != second
            assert bool(micro.labels_B[first] == micro.labels_B[second]) == same


def test_rewards_are_the_verdicts_agreement_with_the_labels(birds, tiny, prompt, monkeypatch):
    script_answers(monkeypatch, prompt, lambda p, g: {0: True, 1: False, 2: None, 3: True}[g])
    _, _, _, buffer = watched_step(made_trainer(birds, tiny, steps=1))
    for held in buffer.rounds:
        labels = held.micro.labels_B
        for p, rewards in enumerate(held.verdicts.rewards_PG.tolist()):
            same = bool(labels[held.first_P[p]] == labels[held.second_P[p]])
            assert rewards == ([1, 0, 0, 1] if same else [0, 1, 0, 0])


# Terms over a buffer -----------------------------------------------------------------------------


def filled(birds, tiny, prompt, monkeypatch, **settings):
    """A trainer and the buffer of one step with two rounds of contributing pairs."""
    script_answers(monkeypatch, prompt, lambda p, g: (g == 0) if p != 2 else None)
    trainer = made_trainer(birds, tiny, contributing_pairs=5, **settings)
    with trainer._autocast():
        micros, buffer = trainer._gather()
    assert [len(r.first_P) for r in buffer.rounds] == [3, 2]
    return trainer, micros, buffer


def alignment_of(trainer, buffer, **changes):
    config = type(trainer.settings)(
        **{name: getattr(trainer.settings, name) for name in trainer.settings.__slots__} | changes
    )
    metrics, gradients = alignment_gradients(
        trainer.supervisor,
        trainer.pooler,
        buffer,
        config,
        trainer.parameters.pooler,
        trainer.subjects,
    )
    return metrics, gradients


@pytest.mark.parametrize("most, images", [(1, 2), (3, 6), (4, 8), (None, 10), (99, 10)])
def test_at_most_so_many_pairs_teach_attention(birds, tiny, prompt, monkeypatch, most, images):
    trainer, micros, buffer = filled(birds, tiny, prompt, monkeypatch)
    metrics, gradients = alignment_of(trainer, buffer, alignment_pairs=most)
    assert metrics["alignment/images"] == images and metrics["loss/kl"] > 0
    assert gradients[0].any()


@pytest.mark.parametrize("replay_pairs", [1, 2, 8])
@pytest.mark.parametrize("most", [1, 3, 4, None])
def test_the_policys_replay_teaches_what_a_replay_of_its_own_does(
    birds, tiny, prompt, monkeypatch, most, replay_pairs
):
    trainer, micros, buffer = filled(
        birds, tiny, prompt, monkeypatch, alignment_pairs=most, replay_pairs=replay_pairs
    )
    teachers = teachers_of(buffer, trainer.settings)
    for held in buffer.rounds:
        policy_gradients(trainer.supervisor, held, trainer.settings, buffer.tokens, teachers)
    assert teachers.left == 0 and not any(maps.requires_grad for maps in teachers.maps)
    parts = (trainer.settings, trainer.parameters.pooler, trainer.subjects)
    (ours, found), (alone, expected) = (
        alignment_gradients(trainer.supervisor, trainer.pooler, buffer, *parts, given)
        for given in (teachers, None)
    )
    assert ours == pytest.approx(alone, rel=1e-4)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-7, rtol=1e-4)


def test_chunks_do_not_change_alignment(birds, tiny, prompt, monkeypatch):
    trainer, micros, buffer = filled(birds, tiny, prompt, monkeypatch)
    whole, gradients = alignment_of(trainer, buffer, replay_pairs=8)
    for replay_pairs in (1, 2):
        metrics, chunked = alignment_of(trainer, buffer, replay_pairs=replay_pairs)
        assert metrics == pytest.approx(whole, rel=1e-4)
        for a, b in zip(chunked, gradients):
            assert (a is None) == (b is None)
            if a is not None:
                torch.testing.assert_close(a, b, atol=1e-7, rtol=1e-4)


def test_rounds_are_divided_by_the_tokens_of_the_whole_buffer(birds, tiny, prompt, monkeypatch):
    trainer, micros, buffer = filled(birds, tiny, prompt, monkeypatch)
    own = []
    for held in buffer.rounds:
        tokens = int(held.verdicts.completions.lengths_PG.sum())
        shares = [
            policy_gradients(trainer.supervisor, held, trainer.settings, count)[0]["loss/grpo"]
            for count in (tokens, buffer.tokens)
        ]
        assert shares[1] == pytest.approx(shares[0] * tokens / buffer.tokens, rel=1e-5)
        own.append(shares[1])
    metrics = trainer.terms.policy(buffer, micros).metrics
    assert metrics["loss/grpo"] == pytest.approx(sum(own), rel=1e-5)


def test_under_bfloat16_gradients_of_tokens_are_summed_in_float32(birds, tiny, prompt, monkeypatch):
    trainer, micros, buffer = filled(birds, tiny, prompt, monkeypatch, autocast="bfloat16")
    held = buffer.rounds[0]
    assert held.micro.tokens.tokens_BND.dtype == torch.bfloat16
    with trainer._autocast():
        _, gradients = policy_gradients(trainer.supervisor, held, trainer.settings, buffer.tokens)
    assert {g.dtype for g in gradients} == {torch.float32}
    assert torch.equal(held.micro.leaf.tokens_BND, held.micro.tokens.tokens_BND.float())


def test_each_query_follows_the_mean_of_its_attributes():
    maps = torch.rand(2, 3, 5)
    assert torch.equal(match_queries(maps, [[0], [1], [2]]), maps)
    torch.testing.assert_close(
        match_queries(maps, [[0, 1, 2]])[:, 0], (maps[:, 0] + maps[:, 1] + maps[:, 2]) / 3
    )
    grouped = match_queries(maps, [[2], [0, 1]])
    torch.testing.assert_close(grouped[:, 0], maps[:, 2])
    torch.testing.assert_close(grouped[:, 1], (maps[:, 0] + maps[:, 1]) / 2)


# Combinations that mean nothing ------------------------------------------------------------------


def test_alignment_without_attention_or_without_attributes_is_refused(birds, tiny):
    import dataclasses

    from saga.encoders.configuration import EncoderConfig, PoolerConfig

    for kind in ("mean", "max"):
        arm = made_arm(tiny, encoder=EncoderConfig(PoolerConfig(kind)))
        with pytest.raises(UserInputError, match=f"a {kind} pooler has no attention to align"):
            Trainer(arm, birds, made_pairs(birds))
    generic = made_arm(dataclasses.replace(tiny, prompt="generic"))
    with pytest.raises(UserInputError, match="prompt generic asks for no attributes"):
        Trainer(generic, birds, made_pairs(birds))
