import builtins
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest

from saga.gates.base import Effect, Evidence, Gate, GateResult, Statistics, Status
from saga.gates.change_threshold import ChangeThreshold
from saga.gates.decision import GateDecision
from saga.gates.equals import Equals
from saga.gates.gates import decide
from saga.gates.non_inferiority import NonInferiority
from saga.gates.policy import GatePolicy
from saga.gates.superiority import Superiority
from saga.gates.value_threshold import ValueThreshold
from tests.gates.made import Drift, Measured, report_of, with_column, with_metric, without

CANDIDATE = report_of([[1, 1, 0], [1, 1, 1], [1, 0, 1], [1, 1, 1]])
BASELINE = report_of([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 1]], "dml")
PRODUCTION = report_of([[1, 1, 0], [1, 1, 1], [1, 0, 1], [1, 1, 0]], "live")
FLOOR = ValueThreshold(id="floor", metric="recall_at_1", at_least=0.5, on="bound")
NOT_WORSE = NonInferiority(id="not_worse", metric="recall_at_1", margin=0.02)
POLICY = GatePolicy("default", (FLOOR, NOT_WORSE))


def statuses(decision: GateDecision) -> list[str]:
    return [str(gate.status) for gate in decision.gates]


def effects(decision: GateDecision) -> list[str]:
    return [str(gate.effect) for gate in decision.gates]


def test_a_decision_has_every_gate_in_order_and_binds_what_was_judged() -> None:
    decision = decide(POLICY, CANDIDATE, {"baseline": BASELINE})
    assert [gate.id for gate in decision.gates] == ["floor", "not_worse"]
    assert decision.passed and statuses(decision) == ["PASS", "PASS"]
    assert decision.policy_digest == POLICY.digest and decision.policy == "default"
    assert decision.encoder_digest == CANDIDATE.encoder_digest
    assert decision.dataset_digest == CANDIDATE.dataset_digest
    assert decision.report_digest == CANDIDATE.digest
    assert decision.references["baseline"].report_digest == BASELINE.digest
    assert decision.baseline_digest == BASELINE.encoder_digest
    assert decision.evidence == {}


def test_measurements_and_drift_are_bound_by_their_digests() -> None:
    measured = {"candidate": Measured({}, "m1"), "production": Measured({}, "m2")}
    drift: Any = Drift(digest="d1")
    decision = decide(POLICY, CANDIDATE, {"baseline": BASELINE}, measured, drift)  # type: ignore
    assert decision.evidence == {
        "measurements of the candidate": "m1",
        "measurements of the production": "m2",
        "drift": "d1",
    }


def test_one_gate_that_does_not_open_closes_all() -> None:
    strict = ValueThreshold(id="strict", metric="recall_at_1", at_least=0.99, on="point")
    decision = decide(GatePolicy("x", (*POLICY.gates, strict)), CANDIDATE, {"baseline": BASELINE})
    assert statuses(decision) == ["PASS", "PASS", "FAIL"]
    assert decision.status is Status.FAIL and not decision.passed


def test_a_gate_that_only_warns_closes_nothing() -> None:
    soft = ValueThreshold(
        id="soft", metric="recall_at_1", at_least=0.99, on="point", severity="warn"
    )
    decision = decide(GatePolicy("x", (*POLICY.gates, soft)), CANDIDATE, {"baseline": BASELINE})
    assert statuses(decision) == ["PASS", "PASS", "FAIL"]
    assert effects(decision) == ["none", "none", "warns"]
    assert decision.passed and [gate.id for gate in decision.warnings] == ["soft"]


def test_the_policys_statistics_reach_every_gate() -> None:
    strict = Statistics(alpha=0.01)
    found = {}
    for statistics in (Statistics(), strict):
        policy = GatePolicy("x", POLICY.gates, statistics)
        gates = decide(policy, CANDIDATE, {"baseline": BASELINE}).gates
        found[statistics.alpha] = [(g.low, g.confidence) for g in gates]
    for (wide, level), (narrow, usual) in zip(found[0.01], found[0.05]):
        assert (level, usual) == (0.99, 0.95)
        assert wide is not None and narrow is not None and wide < narrow


@pytest.mark.parametrize(
    ("candidate", "references"),
    [
        (CANDIDATE, None),
        (CANDIDATE, {}),
        (CANDIDATE, {"production": BASELINE}),
        (CANDIDATE, {"baseline": replace(BASELINE, dataset_digest="another")}),
        (CANDIDATE, {"baseline": report_of([[1, 0, 0]] * 5, "dml")}),
        (CANDIDATE, {"baseline": with_metric(BASELINE, "recall_at_1", None)}),
        (CANDIDATE, {"baseline": without(BASELINE, "hit_at_1")}),
        (with_metric(CANDIDATE, "recall_at_1", None), {"baseline": BASELINE}),
        (with_metric(CANDIDATE, "recall_at_1", "1.0"), {"baseline": BASELINE}),
        (with_metric(CANDIDATE, "recall_at_1", 1.0), {"baseline": BASELINE}),
        (without(CANDIDATE, "hit_at_1"), {"baseline": BASELINE}),
        (without(CANDIDATE, "class_id"), {"baseline": BASELINE}),
        (report_of([[1, 1, 1]]), {"baseline": report_of([[0, 0, 0]], "dml")}),
    ],
)
def test_what_is_missing_or_does_not_fit_is_an_error_never_a_pass(
    candidate: Any, references: Any
) -> None:
    policy = GatePolicy("x", (NOT_WORSE,))
    decision = decide(policy, candidate, references)
    (gate,) = decision.gates
    assert gate.status is Status.ERROR and gate.reason.startswith("It could not be judged: ")
    assert gate.id == "not_worse" and not gate.passed
    assert gate.effect is Effect.BLOCKS and not decision.passed


EVERY_TEST: list[Gate] = [
    ValueThreshold(id="g", metric="recall_at_1", at_least=0.001, on="point"),
    ValueThreshold(id="g", metric="recall_at_1", at_least=0.001, on="bound"),
    ValueThreshold(id="g", metric="worst_class_recall_at_1", at_least=0.001, on="point"),
    ValueThreshold(
        id="g", metric="negative_flip_rate", at_most=0.99, on="point", reference="baseline"
    ),
    ChangeThreshold(id="g", metric="recall_at_1", at_least=-0.99, reference="baseline"),
    Equals(id="g", metric="recall_at_1", value=1.0),
    Superiority(id="g", metric="recall_at_1"),
    NonInferiority(id="g", metric="recall_at_1", margin=0.99),
    NonInferiority(id="g", metric="recall_at_1", margin=0.99, slicing="class"),
    NonInferiority(id="g", metric="recall_at_1", margin=0.99, slicing="class_size"),
]


@pytest.mark.parametrize("gate", EVERY_TEST)
@pytest.mark.parametrize(
    "broken",
    [
        with_metric(CANDIDATE, "recall_at_1", None),
        with_metric(CANDIDATE, "recall_at_1", "1.0"),
        with_metric(CANDIDATE, "recall_at_1", 1.0),
        without(CANDIDATE, "hit_at_1"),
        with_column(CANDIDATE, "hit_at_1", "yes"),
    ],
)
def test_no_test_passes_on_a_report_whose_figures_are_broken(gate: Gate, broken: Any) -> None:
    (result,) = decide(GatePolicy("x", (gate,)), broken, {"baseline": BASELINE}).gates
    assert result.status is Status.ERROR and result.effect is Effect.BLOCKS


def test_evidence_of_other_data_blocks_even_where_missing_evidence_warns() -> None:
    gate = NonInferiority(id="g", metric="recall_at_1", margin=0.02, on_missing_metric="warn")
    other = {"baseline": replace(BASELINE, dataset_digest="another")}
    (result,) = decide(GatePolicy("x", (gate,)), CANDIDATE, other).gates
    assert result.status is Status.ERROR and result.effect is Effect.BLOCKS
    (result,) = decide(GatePolicy("x", (gate,)), CANDIDATE).gates
    assert result.status is Status.ERROR and result.effect is Effect.WARNS


@pytest.mark.parametrize(
    "gate",
    [
        ValueThreshold(id="g", metric="encode_ms_p95", at_most=1e9, on="point"),
        ValueThreshold(id="g", metric="drift_warnings", at_most=1e9, on="point"),
        ValueThreshold(id="g", metric="drift.auc", at_most=1e9, on="point"),
        ChangeThreshold(id="g", metric="encode_ms_p50", at_most=1e9, reference="baseline"),
        Equals(id="g", metric="reload_agreement", value=1.0),
        Equals(id="g", metric="embedding_width", reference="baseline"),
        NonInferiority(id="g", metric="recall_at_1", margin=0.99, slicing="corruption"),
        NonInferiority(id="g", metric="recall_at_1", margin=0.99, slicing="weather"),
    ],
)
@pytest.mark.parametrize(("chosen", "effect"), [("block", Effect.BLOCKS), ("warn", Effect.WARNS)])
def test_a_metric_that_is_missing_blocks_or_warns_as_its_gate_says(
    gate: Gate, chosen: Any, effect: Effect
) -> None:
    gates = (FLOOR, replace(gate, on_missing_metric=chosen))
    decision = decide(GatePolicy("x", gates), CANDIDATE, {"baseline": BASELINE})
    assert decision.gates[1].status is Status.ERROR and decision.gates[1].effect is effect
    assert decision.status is (Status.ERROR if chosen == "block" else Status.PASS)


@pytest.mark.parametrize(
    ("chosen", "status", "effect"),
    [
        ("block", Status.INCONCLUSIVE, Effect.BLOCKS),
        ("warn", Status.PASS, Effect.WARNS),
        ("pass", Status.PASS, Effect.NONE),
    ],
)
def test_an_equal_model_with_too_few_classes_is_inconclusive(
    chosen: Any, status: Status, effect: Effect
) -> None:
    other = report_of([[1, 1, 1], [1, 1, 0], [1, 0, 1], [1, 1, 1]], "dml")
    gate = replace(NOT_WORSE, on_inconclusive=chosen)
    decision = decide(GatePolicy("x", (gate,)), CANDIDATE, {"baseline": other})
    (result,) = decision.gates
    assert result.value == 0 and result.status is Status.INCONCLUSIVE
    assert "too narrow for 4 classes" in result.reason
    assert (decision.status, result.effect) == (status, effect)


def test_figures_that_no_digest_can_bind_are_not_decided_on() -> None:
    broken = with_metric(CANDIDATE, "recall_at_1", float("nan"))
    with pytest.raises(ValueError, match="not JSON compliant"):
        decide(POLICY, broken, {"baseline": BASELINE})
    with pytest.raises(ValueError, match="not JSON compliant"):
        decide(POLICY, CANDIDATE, {"baseline": broken})


def test_an_error_of_one_gate_leaves_the_others_judged() -> None:
    decision = decide(POLICY, CANDIDATE, {})
    assert statuses(decision) == ["PASS", "ERROR"] and decision.status is Status.ERROR


@dataclass(frozen=True, kw_only=True)
class Broken(Gate):
    test: ClassVar[str] = "broken"
    error: str

    def judge(self, evidence: Evidence, statistics: Statistics) -> GateResult:
        raise getattr(builtins, self.error)("x")


@pytest.mark.parametrize(
    "error", ["ValueError", "TypeError", "KeyError", "ZeroDivisionError", "IndexError"]
)
def test_a_gate_that_cannot_judge_is_an_error(error: str) -> None:
    decision = decide(GatePolicy("x", (Broken(id="broken", error=error),)), CANDIDATE)
    assert decision.status is Status.ERROR


def test_a_fault_of_the_program_is_not_hidden_in_a_decision() -> None:
    broken = Broken(id="broken", error="AssertionError")
    with pytest.raises(AssertionError):
        decide(GatePolicy("x", (broken,)), CANDIDATE)


# Nothing is in production yet ---------------------------------------------------------------------

AGAINST_PRODUCTION: list[Gate] = [
    replace(NOT_WORSE, reference="production"),
    Superiority(id="better", metric="recall_at_1", reference="production"),
    ChangeThreshold(id="change", metric="recall_at_1", at_least=-0.02),
    ValueThreshold(
        id="flips", metric="negative_flip_rate", at_most=0.5, on="point", reference="production"
    ),
    Equals(id="width", metric="embedding_width", reference="production"),
]
MEASURED: Any = {
    "candidate": Measured({"embedding_width": 8.0}),
    "baseline": Measured({"embedding_width": 8.0}, encoder_digest=BASELINE.encoder_digest),
}


def first_promotion(gate: Gate, rule: Any, references: Any = None) -> GateResult:
    policy = GatePolicy("x", (FLOOR, gate), cold_start=rule)
    given = {"baseline": BASELINE} if references is None else references
    decision = decide(policy, CANDIDATE, given, MEASURED)
    assert decision.gates[0].passed and decision.gates[0].reason.startswith("Recall@1")
    return decision.gates[1]


@pytest.mark.parametrize("gate", AGAINST_PRODUCTION)
def test_refuse_blocks_whatever_a_missing_metric_does(gate: Gate) -> None:
    for chosen in (gate, replace(gate, on_missing_metric="warn", on_inconclusive="pass")):
        result = first_promotion(chosen, "refuse")
        assert result.status is Status.ERROR and result.effect is Effect.BLOCKS
        assert "Nothing is in production yet" in result.reason and "cold_start" in result.reason
    assert first_promotion(replace(gate, severity="warn"), "refuse").effect is Effect.WARNS


@pytest.mark.parametrize("gate", AGAINST_PRODUCTION)
def test_skip_leaves_the_gate_out_and_says_so(gate: Gate) -> None:
    result = first_promotion(gate, "skip")
    assert result.status is Status.PASS and result.effect is Effect.NONE
    assert result.reason == (
        "Nothing is in production yet: the policy's cold start leaves this gate out."
    )
    assert result.value is None and result.reference == "production"


@pytest.mark.parametrize("gate", AGAINST_PRODUCTION)
def test_baseline_stands_in_for_production_and_is_judged_as_such(gate: Gate) -> None:
    result = first_promotion(gate, "baseline")
    expected = replace(gate, reference="baseline").judge(  # type: ignore[call-arg]
        Evidence(CANDIDATE, {"baseline": BASELINE}, MEASURED), Statistics()
    )
    note = "Nothing is in production yet; the baseline stands in. "
    assert result.reason == note + expected.reason and result.reference == "baseline"
    assert replace(result, reason="", effect=Effect.NONE) == replace(expected, reason="")
    assert result.effect is gate.effect(expected.status)


def test_a_baseline_that_is_missing_too_is_an_error() -> None:
    result = first_promotion(AGAINST_PRODUCTION[0], "baseline", references={})
    assert result.status is Status.ERROR and "no report of the baseline" in result.reason


@pytest.mark.parametrize("rule", ["refuse", "skip", "baseline"])
@pytest.mark.parametrize("gate", AGAINST_PRODUCTION)
def test_once_something_is_in_production_the_rule_no_longer_counts(gate: Gate, rule: Any) -> None:
    live = Measured({"embedding_width": 9.0}, encoder_digest=PRODUCTION.encoder_digest)
    measured: Any = MEASURED | {"production": live}
    references = {"baseline": BASELINE, "production": PRODUCTION}
    policy = GatePolicy("x", (FLOOR, gate), cold_start=rule)
    result = decide(policy, CANDIDATE, references, measured).gates[1]
    expected = gate.judge(Evidence(CANDIDATE, references, measured), Statistics())
    assert replace(result, effect=Effect.NONE) == expected
    assert result.reference == "production"


@pytest.mark.parametrize("rule", ["refuse", "skip", "baseline"])
def test_a_production_that_was_judged_on_other_data_is_no_cold_start(rule: Any) -> None:
    other = replace(PRODUCTION, dataset_digest="another")
    policy = GatePolicy("x", (FLOOR, AGAINST_PRODUCTION[0]), cold_start=rule)
    decision = decide(policy, CANDIDATE, {"baseline": BASELINE, "production": other})
    assert statuses(decision) == ["PASS", "ERROR"] and not decision.passed


@pytest.mark.parametrize("rule", ["refuse", "skip", "baseline"])
def test_the_rule_touches_no_gate_against_another_encoder(rule: Any) -> None:
    policy = GatePolicy("x", POLICY.gates, cold_start=rule)
    decision = decide(policy, CANDIDATE, {"baseline": BASELINE})
    assert decision.gates == decide(POLICY, CANDIDATE, {"baseline": BASELINE}).gates
