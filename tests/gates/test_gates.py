import builtins
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest

from saga.gates.base import Evidence, Gate, GateResult, Status
from saga.gates.floor import Floor
from saga.gates.gates import decide
from saga.gates.non_inferiority import NonInferiority
from saga.gates.policy import GatePolicy
from tests.gates.made import report_of, with_metric, without

CANDIDATE = report_of([[1, 1, 0], [1, 1, 1], [1, 0, 1], [1, 1, 1]])
BASELINE = report_of([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 1]], "dml")
POLICY = GatePolicy(
    "default",
    (
        Floor(id="floor", metric="recall_at_1", threshold=0.5, statistic="lower_bound"),
        NonInferiority(id="not_worse", metric="recall_at_1", margin=0.02),
    ),
)


def statuses(decision) -> list[str]:
    return [str(gate.status) for gate in decision.gates]


def test_a_decision_has_every_gate_in_order_and_binds_what_was_judged():
    decision = decide(POLICY, CANDIDATE, {"baseline": BASELINE})
    assert [gate.id for gate in decision.gates] == ["floor", "not_worse"]
    assert decision.passed and statuses(decision) == ["PASS", "PASS"]
    assert decision.policy_digest == POLICY.digest and decision.policy == "default"
    assert decision.encoder_digest == CANDIDATE.encoder_digest
    assert decision.dataset_digest == CANDIDATE.dataset_digest
    assert decision.report_digest == CANDIDATE.digest
    assert decision.references["baseline"].report_digest == BASELINE.digest
    assert decision.baseline_digest == BASELINE.encoder_digest


def test_one_gate_that_does_not_open_closes_all():
    strict = Floor(id="strict", metric="recall_at_1", threshold=0.99, statistic="point")
    decision = decide(GatePolicy("x", (*POLICY.gates, strict)), CANDIDATE, {"baseline": BASELINE})
    assert statuses(decision) == ["PASS", "PASS", "FAIL"]
    assert decision.status is Status.FAIL and not decision.passed


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
def test_what_is_missing_or_does_not_fit_is_an_error_never_a_pass(candidate, references):
    policy = GatePolicy("x", POLICY.gates[1:])
    (gate,) = decide(policy, candidate, references).gates
    assert gate.status is Status.ERROR and gate.reason.startswith("It could not be judged: ")
    assert gate.id == "not_worse" and not gate.passed


def test_figures_that_no_digest_can_bind_are_not_decided_on():
    broken = with_metric(CANDIDATE, "recall_at_1", float("nan"))
    with pytest.raises(ValueError, match="not JSON compliant"):
        decide(POLICY, broken, {"baseline": BASELINE})
    with pytest.raises(ValueError, match="not JSON compliant"):
        decide(POLICY, CANDIDATE, {"baseline": broken})


def test_an_error_of_one_gate_leaves_the_others_judged():
    decision = decide(POLICY, CANDIDATE, {})
    assert statuses(decision) == ["PASS", "ERROR"] and decision.status is Status.ERROR


@dataclass(frozen=True, kw_only=True)
class Broken(Gate):
    kind: ClassVar[str] = "broken"
    error: str

    def judge(self, evidence: Evidence) -> GateResult:
        raise getattr(builtins, self.error)("x")


@pytest.mark.parametrize(
    "error", ["ValueError", "TypeError", "KeyError", "ZeroDivisionError", "IndexError"]
)
def test_a_gate_that_cannot_judge_is_an_error(error):
    decision = decide(GatePolicy("x", (Broken(id="broken", error=error),)), CANDIDATE)
    assert decision.status is Status.ERROR


def test_a_fault_of_the_program_is_not_hidden_in_a_decision():
    broken = Broken(id="broken", error="AssertionError")
    with pytest.raises(AssertionError):
        decide(GatePolicy("x", (broken,)), CANDIDATE)
