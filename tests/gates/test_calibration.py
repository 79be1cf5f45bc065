import json
from collections import Counter

import numpy as np
import pytest

from saga.gates.calibration import Tally, decide_pair, judge_pairs, of_classes, summary
from saga.gates.non_inferiority import NonInferiority
from saga.gates.policy import GatePolicy
from saga.gates.value_threshold import ValueThreshold
from saga.retrieval.measurements import Measurements
from tests.gates.made import report_of

POLICY = GatePolicy(
    "x",
    (
        ValueThreshold(id="floor", metric="recall_at_1", at_least=0.1, on="point"),
        NonInferiority(id="margin", metric="recall_at_1", margin=0.1, reference="production"),
    ),
)


def encoder(seed: int, classes: int = 40, rate: float = 0.5):
    """Report and measurements of one seed's encoder; classes have rates of their own, seeds little."""
    shared = np.random.default_rng(0).beta(4, 4, classes) * 2 * rate
    rng = np.random.default_rng(seed)
    outcomes = [rng.binomial(1, min(p, 1.0), 20).tolist() for p in shared]
    name = f"seed {seed}"
    report = report_of(outcomes, name)
    return report, Measurements(name, report.encoder_digest, {"reload_agreement": 1.0})


def test_every_ordered_pair_is_judged_for_every_number_of_classes():
    told = []
    judged = [encoder(seed) for seed in range(3)]
    tallies = judge_pairs(POLICY, judged, (10, 40, 99), 4, tell=lambda *at: told.append(at))
    assert [(t.kind, t.classes, t.total) for t in tallies] == [("A/A", 10, 24), ("A/A", 40, 6)]
    assert told[-1] == (30, 30) and len(told) == 30


def test_equals_pass_more_often_with_more_classes_and_are_never_refused_for_chance():
    judged = [encoder(seed, 200) for seed in range(4)]
    few, many = judge_pairs(POLICY, judged, (8, 200), 5)
    assert many.decisions["PASS"] == many.total == 12
    assert few.decisions["INCONCLUSIVE"] > few.total / 2
    assert set(few.blocks) == {"margin"}


def test_a_worse_encoder_is_blocked_and_counted_by_its_gate():
    whole, broken = encoder(0, 100), encoder(1, 100, rate=0.1)
    tally = Tally("broken", 100)
    tally.add(decide_pair(POLICY, broken, whole))
    assert tally.decisions == Counter(FAIL=1) and tally.blocks["margin"] == 1
    plain = json.loads(json.dumps(tally.to_dict()))
    assert plain["total"] == 1 and plain["decisions"] == {"FAIL": 1}


def test_a_part_of_the_classes_keeps_its_queries_and_their_means():
    report = of_classes(encoder(0)[0], np.array([3, 7]))
    assert set(report.per_query["class_id"]) == {3, 7} and len(report.per_query) == 40
    assert report.metrics["recall_at_1"] == pytest.approx(report.per_query["hit_at_1"].mean())


def test_the_summary_counts_what_was_wrongly_blocked_and_wrongly_passed():
    pairs = Tally("A/A", 40, Counter(PASS=5, FAIL=1, INCONCLUSIVE=2, ERROR=1))
    fewer = Tally("A/A", 10, Counter(INCONCLUSIVE=20))
    broken = Tally("wrong_tokens", 40, Counter(FAIL=3, PASS=1))
    assert summary([fewer, pairs, broken]) == {
        "false_blocks": 2,
        "inconclusive": 2,
        "pairs": 9,
        "classes": 40,
        "missed": 1,
        "planted": 4,
    }
