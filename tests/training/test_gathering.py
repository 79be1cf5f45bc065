"""Refills that are rolled out ahead leave what refills one after the other leave."""

import pytest
import torch

from saga.mining.configuration import ChoiceConfig
from saga.training.ranks import Ranks
from saga.training.trainer import Trainer
from tests.training.made import EMBEDDED, made_arm, made_pairs

SETTINGS = {"contributing_pairs": 7, "max_rounds": 6, "steps": 4}


def trained(birds, strategy="random", **settings):
    """A trainer after all its steps, and the rounds of each step's rollouts."""
    trainer = Trainer(made_arm(EMBEDDED, **SETTINGS | settings), birds, made_pairs(birds, strategy))
    asked, sample = [], trainer.supervisor.sample

    def counted(a, *rest):
        asked[-1].append(len(a.tokens_BND))
        return sample(a, *rest)

    trainer.supervisor.sample = counted
    while not trainer.finished:
        asked.append([])
        trainer.step()
    return trainer, asked


@pytest.fixture(scope="module", params=["random", "stratified"])
def both(request, birds):
    return [trained(birds, request.param, refill=refill) for refill in ("after", "ahead")]


def test_the_same_pairs_are_kept_and_the_same_weights_come_out(both):
    (after, _), (ahead, _) = both
    for ours, theirs in zip(ahead.rows, after.rows, strict=True):
        for name, value in theirs.items():
            if not name.startswith("seconds") and name != "rollout/discarded":
                assert ours[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name
    for a, b in zip(ahead.parameters.all, after.parameters.all, strict=True):
        torch.testing.assert_close(a, b, atol=2e-6, rtol=1e-4)


def test_fewer_decode_batches_do_it_and_what_was_not_needed_is_counted(both):
    (after, one_by_one), (ahead, together) = both
    assert sum(map(len, together)) < sum(map(len, one_by_one))
    assert max(map(max, together)) > 4
    for rows, calls in ((after.rows, one_by_one), (ahead.rows, together)):
        for row, asked in zip(rows, calls, strict=True):
            assert sum(asked) == row["rollout/pairs"] + row["rollout/discarded"]
    assert not any(row["rollout/discarded"] for row in after.rows)
    assert all(row["rollout/rounds"] > 1 for row in after.rows)


def test_both_samplers_stand_at_the_same_place(both):
    (after, _), (ahead, _) = both
    assert ahead.batches.state_dict() == after.batches.state_dict()
    assert ahead.batches.next_batch() == after.batches.next_batch()


def test_experience_says_how_many_batches_are_drawn_at_once(birds):
    trainer, _ = trained(birds, steps=1, refill="ahead")
    buffer = trainer.gatherer.gather(9, None)[1]
    buffer.rounds.clear()
    wanted = {share: trainer.gatherer._wanted(buffer, share) for share in (1.0, 0.5, 0.25, 0.0)}
    # Seven pairs of four a batch.
    assert wanted[1.0] == 2 and wanted[0.5] == 4 and wanted[0.25] == 7 and wanted[0.0] > 1000
    assert trainer.gatherer.gather(9, 0.0)[0], "the most rounds bound what is drawn"


def test_pairs_are_shared_out_by_the_tokens_that_they_are_expected_to_take(birds, monkeypatch):
    asked, balanced = [], Ranks.balanced

    def noted(ranks, costs):
        asked.append(costs)
        return balanced(ranks, costs)

    monkeypatch.setattr(Ranks, "balanced", noted)
    trainer, _ = trained(birds, steps=2, max_rounds=1)
    prompt, length = len(trainer.supervisor.prefix), trainer.rows[0]["rollout/length"]
    unknown, expected = asked
    assert len(set(unknown)) == 1, "at first all pairs are alike"
    assert len(set(expected)) > 1
    assert all(abs(tokens - prompt - 4 * length) < length for tokens in expected)


@pytest.fixture(scope="module")
def chosen(birds):
    settings = {"choice": ChoiceConfig("predicted", 3), "pairs_per_round": 6, "steps": 14}
    return trained(birds, contributing_pairs=12, max_rounds=2, **settings)


def test_predicted_pairs_are_rolled_out_and_their_lean_is_in_the_history(chosen):
    trainer, asked = chosen
    assert {pairs for step in asked for pairs in step} <= {6, 12}
    names = ("contributing_explored", "contributing_predicted", "similarity_shift", "expected_lift")
    frame = trainer.history().frame
    for name in names:
        assert frame[f"choice/{name}"].notna().all(), name
    # So long as too little is known nothing is expected; then something is.
    lift = frame["choice/expected_lift"]
    assert (lift[:5].abs() < 1e-12).all() and (lift[8:] > 0).any()
    outcomes = trainer.chooser.state_dict()["outcomes"]
    assert len(outcomes) == frame["rollout/pairs"].sum()
    assert sum(o for _, o in outcomes) == pytest.approx(
        (frame["rollout/contributing"] * frame["rollout/pairs"]).sum()
    )


def test_what_was_learned_of_pairs_is_part_of_a_checkpoint(chosen, birds):
    trainer, _ = chosen
    resumed = Trainer(trainer.config, birds, made_pairs(birds))
    resumed.restore(trainer.state())
    assert resumed.chooser.state_dict() == trainer.chooser.state_dict()
    ours, theirs = (t.gatherer.gather(14, None)[0] for t in (trainer, resumed))
    assert [m.pairs for m in ours] == [m.pairs for m in theirs]
