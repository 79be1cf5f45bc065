"""Which attributes each query of a pooler follows, and the oracle's gradient."""

import json
from dataclasses import replace

import pytest
import torch

from saga.encoders.configuration import EncoderConfig, PoolerConfig
from saga.errors import UserInputError
from saga.supervisors.prompts import load_prompt
from saga.training.alignment import query_subjects, with_queries
from saga.training.configuration import LossWeights
from saga.training.trainer import Trainer
from tests.training.made import EMBEDDED, made_arm, made_pairs

ATTRIBUTE = PoolerConfig("attribute", normalize_keys=True)


def test_an_attribute_pooler_takes_its_queries_from_the_prompt():
    assert (
        with_queries(ATTRIBUTE, "synthetic_birds").queries
        == load_prompt("synthetic_birds").attributes
    )
    grouped = with_queries(ATTRIBUTE, "birds")
    assert len(grouped.queries) == 8 and grouped.queries[0] == "bill"
    named = replace(ATTRIBUTE, queries=("a", "b"))
    assert with_queries(named, "synthetic_generic") is named
    one = PoolerConfig("attention")
    assert with_queries(one, "synthetic_birds") is one


def test_no_names_and_a_prompt_without_attributes_is_refused():
    with pytest.raises(UserInputError, match="asks for no attributes. Name the queries"):
        with_queries(ATTRIBUTE, "synthetic_generic")


def test_queries_follow_their_attributes_groups_all_of_theirs_and_one_query_all():
    birds = load_prompt("birds")
    subjects = query_subjects(with_queries(ATTRIBUTE, "birds"), birds)
    assert [birds.attributes[i] for i in subjects[0]] == ["bill shape", "bill length", "bill color"]
    assert sorted(i for chosen in subjects for i in chosen) == list(range(28)), "each once"
    assert query_subjects(PoolerConfig("attention"), birds) == [list(range(28))]
    named = replace(ATTRIBUTE, queries=("leg color", "head"))
    assert query_subjects(named, birds)[0] == [birds.attributes.index("leg color")]
    with pytest.raises(
        UserInputError, match="beak is no attribute and no group of the prompt birds"
    ):
        query_subjects(replace(ATTRIBUTE, queries=("beak",)), birds)


def six(weights, **training):
    return made_arm(EMBEDDED, weights, EncoderConfig(ATTRIBUTE), **training)


def test_alignment_lowers_the_divergence_of_every_query_and_leaves_the_tower_alone(birds):
    arm = six((0.0, 0.0, 1.0), steps=12, contributing_pairs=8, pairs_per_round=8)
    trainer = Trainer(arm, birds, made_pairs(birds))
    tower = [p.detach().clone() for p in trainer.parameters.encoder]
    divergences = []
    while not trainer.finished:
        metrics = trainer.step()
        if "loss/kl" in metrics:
            divergences.append(metrics["loss/kl"])
    assert trainer.pooler.query_QD.shape[0] == 6
    assert sum(divergences[-3:]) < 0.9 * sum(divergences[:3])
    decay = 1e-4 * 2e-4 * 12
    for before, after in zip(tower, trainer.parameters.encoder):
        torch.testing.assert_close(after.detach(), before, atol=2 * decay, rtol=2 * decay)


def test_the_oracle_teaches_the_tower_the_true_answers_and_needs_them(birds):
    arm = six((0.0, 0.0, 0.0001), steps=6)
    arm = replace(
        arm,
        training=replace(arm.training, weights=LossWeights(dml=0.0, grpo=0.0, kl=0.0, oracle=1.0)),
    )
    with pytest.raises(UserInputError, match="25 of 25 have none"):
        Trainer(arm, birds, made_pairs(birds))
    names = load_prompt("synthetic_birds").attributes
    frame = birds.frame.copy()
    values = {"bill color": "red", "crown color": "red", "wing color": "blue"} | {
        "wing pattern": "bars",
        "belly color": "pink",
        "tail color": "black",
    }
    frame["attributes"] = json.dumps({name: values[name] for name in names})
    trainer = Trainer(arm, replace(birds, frame=frame), made_pairs(birds))
    metrics = [trainer.step() for _ in range(6)]
    assert metrics[-1]["loss/oracle"] < metrics[0]["loss/oracle"]
    assert metrics[0]["gradient/theta_oracle"] > 0
    assert "rollout/reward" not in metrics[0], "nothing is rolled out for the oracle alone"
    assert all(p.grad is None for p in trainer.parameters.pooler)
