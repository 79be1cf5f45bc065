import itertools
import json
from dataclasses import replace

import pytest

from saga.errors import UserInputError
from saga.files import digest_of
from saga.gates.base import Effect, GateResult, SliceFigure, Status
from saga.gates.decision import DECISION, GateDecision, Reference

FAILED = GateResult(
    "floor",
    "value_threshold",
    Status.FAIL,
    "Recall@1 is 10.0 %, below the floor.",
    Effect.BLOCKS,
    metric="recall_at_1",
    statistic="point",
    value=0.1,
    low=0.05,
    high=0.15,
    confidence=0.95,
    threshold=0.2,
    limit="least",
    slices=(
        SliceFigure("jpeg", 40, -0.2, 0.001, True),
        SliceFigure("blur", 40, 0.05, 1.0, False),
    ),
)
PASSED = replace(
    FAILED, id="other", status=Status.PASS, effect=Effect.NONE, reason="fine", value=0.3
)
WARNED = replace(FAILED, id="soft", effect=Effect.WARNS, reason="slow")
JPEG, BLUR = FAILED.slices
EFFECTS = {
    Status.PASS: [Effect.NONE],
    Status.FAIL: [Effect.BLOCKS, Effect.WARNS],
    Status.INCONCLUSIVE: [Effect.BLOCKS, Effect.WARNS, Effect.NONE],
    Status.ERROR: [Effect.BLOCKS, Effect.WARNS],
}
"""What each status may do."""
ALLOWED = [(status, effect) for status, effects in EFFECTS.items() for effect in effects]


def decision(*gates: GateResult, **changes) -> GateDecision:
    made = GateDecision(
        policy="default",
        gates=gates or (PASSED, FAILED),
        encoder_digest="e",
        dataset_digest="d",
        policy_digest="p",
        report_digest="r",
        references={"baseline": Reference("be", "br"), "production": Reference("pe", "pr")},
        evidence={"measurements of the candidate": "m", "drift": "dr"},
    )
    return replace(made, **changes)


@pytest.mark.parametrize("found", itertools.product(ALLOWED, repeat=3))
def test_only_what_blocks_counts_and_of_that_the_worst_is_said(found):
    gates = [
        replace(PASSED, id=f"g{i}", status=s, effect=effect) for i, (s, effect) in enumerate(found)
    ]
    made = decision(*gates)
    order = [Status.ERROR, Status.FAIL, Status.INCONCLUSIVE, Status.PASS]
    blocking = [status for status, effect in found if effect is Effect.BLOCKS]
    assert made.status == min([*blocking, Status.PASS], key=order.index)
    assert made.passed is (not blocking)
    assert [gate.status for gate in made.blocking] == blocking
    warned = [status for status, effect in found if effect is Effect.WARNS]
    assert [gate.status for gate in made.warnings] == warned


@pytest.mark.parametrize(("status", "effect"), itertools.product(Status, Effect))
def test_a_failure_without_an_effect_and_a_pass_with_one_are_no_decision(status, effect):
    gate = replace(PASSED, id="odd", status=status, effect=effect)
    if (status, effect) in ALLOWED:
        assert decision(gate).gates == (gate,)
    else:
        with pytest.raises(ValueError, match=f"odd is {status}, and its effect {effect}"):
            decision(gate)


def test_no_gates_are_no_decision():
    with pytest.raises(ValueError, match="let everything pass"):
        decision(gates=())


def test_the_reason_says_how_many_did_not_pass_and_why_the_first_did_not():
    assert decision(PASSED).reason == "All 1 gates let it pass."
    assert decision(PASSED, WARNED).reason == "All 2 gates let it pass, 1 with a warning."
    assert decision().reason == f"1 of 2 gates did not pass; floor: {FAILED.reason}"
    open_ = replace(FAILED, id="open", status=Status.INCONCLUSIVE, reason="few")
    told = f"2 of 2 gates did not pass; floor: {FAILED.reason}"
    assert decision(open_, FAILED).reason == told, "the status's own reason"
    assert decision(WARNED, FAILED).reason == f"1 of 2 gates did not pass; floor: {FAILED.reason}"


def test_the_summary_holds_status_and_every_gates_effect_and_reason():
    assert json.loads(json.dumps(decision(PASSED, FAILED, WARNED).to_summary())) == {
        "status": "FAIL",
        "gates": [
            {"id": "other", "status": "PASS", "effect": "none", "reason": "fine"},
            {"id": "floor", "status": "FAIL", "effect": "blocks", "reason": FAILED.reason},
            {"id": "soft", "status": "FAIL", "effect": "warns", "reason": "slow"},
        ],
    }


def test_the_baseline_is_found_where_there_was_one():
    assert decision().baseline_digest == "be"
    assert decision(references={}).baseline_digest is None


def test_a_decision_comes_back_as_it_was_saved(tmp_path):
    made = decision(PASSED, FAILED, WARNED)
    made.save(tmp_path)
    loaded = GateDecision.load(tmp_path)
    assert loaded == made and loaded.digest == made.digest
    assert isinstance(loaded.gates[0].status, Status)
    assert loaded.blocking == (FAILED,) and loaded.warnings == (WARNED,)
    assert loaded.gates[1].slices == FAILED.slices and loaded.evidence == made.evidence


def test_everything_that_was_judged_is_in_the_digest():
    digests = {decision().digest}
    changes = [
        {"policy": "x"},
        {"encoder_digest": "x"},
        {"dataset_digest": "x"},
        {"policy_digest": "x"},
        {"report_digest": "x"},
        {"references": {}},
        {"references": {"baseline": Reference("be", "x")}},
        {"evidence": {}},
        {"evidence": {"measurements of the candidate": "m", "drift": "x"}},
        {"evidence": {"measurements of the candidate": "m"}},
        {"gates": (FAILED, PASSED)},
        *(
            {"gates": (PASSED, replace(FAILED, slices=(replace(JPEG, **part), BLUR)))}
            for part in (
                {"value": "x"},
                {"queries": 41},
                {"difference": -0.1},
                {"p_value": 0.002},
                {"alarm": False},
            )
        ),
        {"gates": (PASSED, replace(FAILED, slices=(BLUR, JPEG)))},
        {"gates": (PASSED, replace(FAILED, slices=(JPEG,)))},
        *(
            {"gates": (PASSED, replace(FAILED, **{name: value}))}
            for name, value in {
                "id": "x",
                "test": "x",
                "effect": Effect.WARNS,
                "status": Status.INCONCLUSIVE,
                "reason": "x",
                "metric": "map_at_r",
                "statistic": "x",
                "value": 0.11,
                "low": 0.051,
                "high": None,
                "confidence": 0.9,
                "threshold": 0.3,
                "limit": "most",
                "margin": 0.1,
                "reference": "x",
            }.items()
        ),
    ]
    for change in changes:
        digests.add(decision(**change).digest)
    assert len(digests) == len(changes) + 1


def altered(folder, change) -> None:
    """Changes the saved decision in place."""
    facts = json.loads((folder / DECISION).read_text())
    change(facts)
    (folder / DECISION).write_text(json.dumps(facts))


def flip(facts) -> None:
    facts["status"] = "PASS"
    facts["gates"][1].update(status="PASS", effect="none")


def soften(facts) -> None:
    facts["status"] = "PASS"
    facts["gates"][1]["effect"] = "warns"


@pytest.mark.parametrize(
    "change",
    [
        flip,
        soften,
        lambda facts: facts.update(status="PASS"),
        lambda facts: facts["gates"][1].update(effect="warns"),
        lambda facts: facts["gates"][1]["slices"][0].update(alarm=False),
        lambda facts: facts["gates"][1]["slices"].pop(0),
        lambda facts: facts["gates"][1].update(limit="most"),
        lambda facts: facts["evidence"].update(drift="another"),
        lambda facts: facts["evidence"].pop("drift"),
        lambda facts: facts["gates"].pop(),
        lambda facts: facts["gates"][1].update(value=0.9),
        lambda facts: facts["gates"][1].update(reason="fine"),
        lambda facts: facts.update(encoder_digest="another"),
        lambda facts: facts.update(dataset_digest="another"),
        lambda facts: facts.update(policy_digest="another"),
        lambda facts: facts.update(report_digest="another"),
        lambda facts: facts["references"]["baseline"].update(encoder_digest="another"),
        lambda facts: facts["references"].pop("baseline"),
        lambda facts: facts.update(digest="0" * 64),
    ],
)
def test_an_altered_decision_is_refused(tmp_path, change):
    decision().save(tmp_path)
    altered(tmp_path, change)
    with pytest.raises(UserInputError, match="altered"):
        GateDecision.load(tmp_path)


@pytest.mark.parametrize("change", [flip, soften])
def test_whoever_makes_the_digest_anew_does_not_get_the_digest_that_was_recorded(tmp_path, change):
    made = decision()
    made.save(tmp_path)

    def forge(facts):
        change(facts)
        facts["digest"] = digest_of({k: v for k, v in facts.items() if k != "digest"})

    altered(tmp_path, forge)
    assert GateDecision.load(tmp_path).digest != made.digest


def test_a_status_that_does_not_follow_from_the_gates_is_refused_under_any_digest(tmp_path):
    decision().save(tmp_path)

    def forge(facts):
        facts["status"] = "PASS"
        facts["digest"] = digest_of({k: v for k, v in facts.items() if k != "digest"})

    altered(tmp_path, forge)
    with pytest.raises(UserInputError, match="altered"):
        GateDecision.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: facts.pop("policy"),
        lambda facts: facts.update(owner="me"),
        lambda facts: facts.update(gates=[]),
        lambda facts: facts.update(gates=3),
        lambda facts: facts.update(gates=["PASS"]),
        lambda facts: facts["gates"][0].update(status="OK"),
        lambda facts: facts["gates"][0].pop("status"),
        lambda facts: facts["gates"][0].pop("reason"),
        lambda facts: facts["gates"][0].update(weight=1),
        lambda facts: facts["gates"][0].update(effect="maybe"),
        lambda facts: facts["gates"][0].update(effect="blocks"),
        lambda facts: facts["gates"][1].update(effect="none"),
        lambda facts: facts["gates"][1].update(status="PASS"),
        lambda facts: facts["gates"][0].pop("effect"),
        lambda facts: facts["gates"][0].pop("slices"),
        lambda facts: facts["gates"][0].update(slices=3),
        lambda facts: facts["gates"][0].update(slices=["jpeg"]),
        lambda facts: facts["gates"][0]["slices"][0].pop("alarm"),
        lambda facts: facts["gates"][0]["slices"][0].update(weight=1),
        lambda facts: facts.pop("evidence"),
        lambda facts: facts.update(evidence=3),
        lambda facts: facts.update(references=[]),
        lambda facts: facts.update(references={"baseline": "x"}),
        lambda facts: facts.update(references={"baseline": {}}),
        lambda facts: facts["gates"][0].update(value=float("nan")),
    ],
)
def test_what_is_no_decision_is_refused_by_name(tmp_path, change):
    decision().save(tmp_path)
    altered(tmp_path, change)
    with pytest.raises(UserInputError, match=DECISION):
        GateDecision.load(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "null", "{", "[" * 100_000])
def test_a_file_that_is_no_object_is_refused(tmp_path, content):
    (tmp_path / DECISION).write_text(content)
    with pytest.raises(UserInputError, match=DECISION):
        GateDecision.load(tmp_path)
    with pytest.raises(UserInputError, match=DECISION):
        GateDecision.load(tmp_path / "absent")
