import json
import re
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest

from saga.errors import UserInputError
from saga.gates.base import Effect, Statistics, Status
from saga.gates.change_threshold import ChangeThreshold
from saga.gates.equals import Equals
from saga.gates.metrics import KNOWN
from saga.gates.non_inferiority import NonInferiority
from saga.gates.policy import TESTS, GatePolicy, Signature
from saga.gates.superiority import Superiority
from saga.gates.value_threshold import ValueThreshold

DEFAULT = Path(__file__).parents[2] / "configs" / "gates" / "default.yaml"
FLOOR = {
    "id": "floor",
    "test": "value_threshold",
    "metric": "recall_at_1",
    "at_least": 0.5,
    "on": "point",
}
TEXT = """
name: strict      # a comment
gates:
  - id: floor
    test: value_threshold
    metric: recall_at_1
    at_least: 2e-1
    on: bound
  - {margin: 0.02, metric: map_at_r, test: non_inferiority, id: not_worse}
"""
EVERYTHING = """
name: all
statistics: {alpha: 0.1, margin_standard_errors: 3, any_of: holm, slices: benjamini_hochberg}
cold_start: skip
signature: {public_key: keys/production.pub}
gates:
  - {id: a, test: value_threshold, metric: negative_flip_rate, reference: production, at_most: 0.1,
     on: bound}
  - {id: b, test: non_inferiority, metric: recall_at_1, margin: 0.3, reference: production,
     slicing: class, on_missing_metric: warn}
  - {id: c, test: superiority, any_of: [recall_at_1, map_at_r], margin: 0.01, on_inconclusive: pass}
  - {id: d, test: change_threshold, metric: encode_ms_p95, at_most: 0.5, relative: true,
     severity: warn}
  - {id: e, test: equals, metric: embedding_width, reference: production}
  - {id: f, test: equals, metric: drift_warnings, value: 0, on_inconclusive: warn}
"""


@pytest.fixture
def file(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "policy.yaml"
        path.write_text(text)
        return path

    return write


def refused(values: object) -> list[str]:
    """The problems, without where they are."""
    with pytest.raises(UserInputError) as caught:
        GatePolicy.from_dict(values, "policy.yaml")
    return [line.removeprefix("policy.yaml: ") for line in str(caught.value).splitlines()]


def test_a_file_becomes_gates_with_the_documented_defaults(file):
    common = {"severity": "block", "on_inconclusive": "block", "on_missing_metric": "block"}
    assert GatePolicy.load(file(TEXT)) == GatePolicy(
        "strict",
        (
            ValueThreshold(id="floor", metric="recall_at_1", at_least=0.2, on="bound", **common),
            NonInferiority(
                id="not_worse",
                metric="map_at_r",
                margin=0.02,
                reference="baseline",
                slicing=None,
                **common,
            ),
        ),
        Statistics(
            alpha=0.05,
            margin_standard_errors=2.5,
            any_of="holm",
            slices="benjamini_hochberg",
        ),
        cold_start="refuse",
        signature=None,
    )


def test_every_key_of_every_test_is_read(file):
    settings = {"reference": "production"}
    assert GatePolicy.load(file(EVERYTHING)) == GatePolicy(
        "all",
        (
            ValueThreshold(
                id="a", metric="negative_flip_rate", at_most=0.1, on="bound", **settings
            ),
            NonInferiority(
                id="b",
                metric="recall_at_1",
                margin=0.3,
                slicing="class",
                on_missing_metric="warn",
                **settings,
            ),
            Superiority(
                id="c", any_of=("recall_at_1", "map_at_r"), margin=0.01, on_inconclusive="pass"
            ),
            ChangeThreshold(
                id="d", metric="encode_ms_p95", at_most=0.5, relative=True, severity="warn"
            ),
            Equals(id="e", metric="embedding_width", **settings),
            Equals(id="f", metric="drift_warnings", value=0.0, on_inconclusive="warn"),
        ),
        Statistics(alpha=0.1, margin_standard_errors=3.0),
        "skip",
        Signature("keys/production.pub"),
    )


def test_the_policy_that_comes_along_asks_for_quality_against_both_and_blocks_on_it():
    policy = GatePolicy.load(DEFAULT)
    gates = {gate.id: gate for gate in policy.gates}
    assert policy.cold_start == "baseline" and policy.signature is None
    assert isinstance(gates["recall_floor"], ValueThreshold) and gates["recall_floor"].on == "bound"
    for reference in ("baseline", "production"):
        gate = gates[f"not_worse_than_{reference}"]
        assert isinstance(gate, NonInferiority) and gate.compared_with == reference
    blocking = [g for g in policy.gates if g.severity == "block"]
    assert {"recall_floor", "not_worse_than_baseline", "not_worse_than_production"} <= {
        gate.id for gate in blocking
    }
    for gate in blocking:
        assert gate.effect(Status.FAIL) is gate.effect(Status.INCONCLUSIVE) is Effect.BLOCKS


def test_the_digest_is_of_the_settings_not_of_how_they_are_written(file):
    policy = GatePolicy.load(file(TEXT))
    again = TEXT.replace("# a comment", "").replace(
        "{margin: 0.02, metric: map_at_r,",
        "{metric: map_at_r, margin: 2.0e-2, reference: baseline, severity: block,",
    )
    again += "cold_start: refuse\nsignature: null\nstatistics: {alpha: 0.05}\n"
    assert GatePolicy.load(file(again)).digest == policy.digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("2e-1", "0.21"),
        ("id: floor", "id: flaw"),
        ("strict", "lax"),
        ("on: bound", "on: point"),
        ("margin: 0.02", "margin: 0.03"),
        ("margin: 0.02", "margin: 0.02, reference: production"),
        ("margin: 0.02", "margin: 0.02, slicing: class_size"),
        ("margin: 0.02", "margin: 0.02, severity: warn"),
        ("margin: 0.02", "margin: 0.02, on_inconclusive: warn"),
        ("margin: 0.02", "margin: 0.02, on_missing_metric: warn"),
        ("gates:", "cold_start: skip\ngates:"),
        ("gates:", "signature: {public_key: a.pub}\ngates:"),
        ("gates:", "statistics: {alpha: 0.1}\ngates:"),
        ("gates:", "statistics: {margin_standard_errors: 2}\ngates:"),
    ],
)
def test_every_setting_is_in_the_digest(file, old, new):
    policy = GatePolicy.load(file(TEXT))
    assert TEXT.count(old) == 1
    assert GatePolicy.load(file(TEXT.replace(old, new))).digest != policy.digest


@pytest.mark.parametrize("text", [TEXT, EVERYTHING, DEFAULT.read_text()])
def test_plain_values_and_json_bring_the_policy_back(file, text):
    policy = GatePolicy.load(file(text))
    assert GatePolicy.from_dict(policy.to_dict()) == policy
    again = GatePolicy.from_dict(json.loads(json.dumps(policy.to_dict())))
    assert again == policy and again.digest == policy.digest


def test_every_test_is_known_by_its_own_name():
    assert {name: gate.test for name, gate in TESTS.items()} == {name: name for name in TESTS}
    assert set(TESTS) == {
        "value_threshold",
        "non_inferiority",
        "superiority",
        "change_threshold",
        "equals",
    }


KINDS = "value_threshold, non_inferiority, superiority, change_threshold, equals"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"metric": "nmi"}, "gates[0].metric: nmi moves by several points with the seed"),
        ({"metric": "recall@1"}, "gates[0].metric must be one of recall_at_1, recall_at_2"),
        ({"at_least": "0.5"}, "gates[0].at_least must be a number or null; got '0.5' (text)."),
        ({"at_least": True}, "gates[0].at_least must be a number or null; got True (true or fals"),
        ({"at_least": 0}, "gates[0].at_least must be a fraction above 0 and at most 1, got 0.0."),
        ({"at_least": 30}, "gates[0].at_least must be a fraction above 0 and at most 1, got 30"),
        ({"at_least": float("nan")}, "gates[0].at_least must be a finite number, got nan."),
        ({"at_least": None}, "gates[0]: give one of at_least and at_most."),
        ({"at_most": 0.9}, "gates[0]: give one of at_least and at_most."),
        ({"on": "lower"}, "gates[0].on must be one of point, bound; got 'lower'"),
        ({"severity": "high"}, "gates[0].severity must be one of block, warn; got 'high'"),
        ({"on_inconclusive": "ask"}, "gates[0].on_inconclusive must be one of block, warn, pass"),
        ({"on_missing_metric": "pass"}, "gates[0].on_missing_metric must be one of block, warn;"),
        ({"id": "Floor"}, "gates[0].id must be lower-case letters, digits and _"),
        ({"id": 5}, "gates[0].id must be text; got 5 (an integer); put it in quotes."),
        ({"test": "value"}, f"gates[0].test must be one of {KINDS}; got 'value' (text)"),
        ({"test": ["equals"]}, f"gates[0].test must be one of {KINDS}; got ['equals']"),
        ({"reference": "candidate"}, "gates[0].reference must name another encoder"),
        ({"margin": 0.02}, "gates[0].margin is not a setting. Allowed in gates[0]: id, severity"),
        ({"confidence": 0.9}, "gates[0].confidence is not a setting."),
        (
            {"at_leest": 0.02},
            "gates[0].at_leest is not a setting. Nearest: gates[0].at_least (a number",
        ),
    ],
)
def test_a_wrong_setting_is_refused_with_its_place(changes, problem):
    found = refused({"name": "x", "gates": [FLOOR | changes]})
    assert len(found) == 1 and found[0].startswith(problem)


@pytest.mark.parametrize("missing", ["id", "test", "metric", "on"])
def test_a_setting_without_a_default_must_be_given(missing):
    values = {k: v for k, v in FLOOR.items() if k != missing}
    (found,) = refused({"name": "x", "gates": [values]})
    assert found.startswith(f"gates[0].{missing} ")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"statistics": {"alpha": 0}}, "statistics.alpha must be above 0 and at most 0.5"),
        ({"statistics": {"alpha": 5}}, "statistics.alpha must be above 0 and at most 0.5"),
        (
            {"statistics": {"alfa": 0.1}},
            "statistics.alfa is not a setting. Nearest: statistics.alp",
        ),
        ({"statistics": {"any_of": "none"}}, "statistics.any_of must be one of holm; got 'none'"),
        ({"statistics": {"slices": "holm"}}, "statistics.slices must be one of benjamini_hochb"),
        ({"statistics": {"margin_standard_errors": -1}}, "statistics.margin_standard_errors must"),
        ({"statistics": 0.05}, "statistics must be"),
        ({"cold_start": "allow"}, "cold_start must be one of refuse, skip, baseline; got 'allow'"),
        ({"cold_start": None}, "cold_start must be one of refuse, skip, baseline; got null"),
        ({"signature": {}}, "signature.public_key is missing."),
        ({"signature": {"public_key": 5}}, "signature.public_key must be text"),
        ({"signature": True}, "signature must be"),
        ({"signature": {"public_key": "a", "optional": True}}, "signature.optional is not a sett"),
        ({"gate": []}, "gate is not a setting. Nearest: gates"),
    ],
)
def test_a_wrong_key_of_the_policy_is_refused_with_its_place(changes, problem):
    found = refused({"name": "x", "gates": [FLOOR]} | changes)
    assert len(found) == 1 and found[0].startswith(problem)


@pytest.mark.parametrize(
    ("values", "problems"),
    [
        ({"name": "x", "gates": []}, ["gates: a policy without gates would let everything pass."]),
        ({"name": "x"}, ["gates is missing."]),
        ({"gates": [FLOOR]}, ["name is missing."]),
        ({"name": "", "gates": [FLOOR]}, ["name must not be empty."]),
        ({"name": "x", "gates": [FLOOR, FLOOR]}, ["gates: the id floor is given twice."]),
        ({"name": "x", "gates": {"floor": FLOOR}}, ["gates must be a list of sections with id"]),
        ({"name": "x", "gates": ["floor"]}, ["gates[0] must be a section with id, test"]),
        ({"name": "x", "gates": None}, ["gates must be a list of sections"]),
        ({"name": 1, "gate": [FLOOR]}, ["name must be text", "gate is not a set", "gates is miss"]),
        ({}, ["name is missing.", "gates is missing."]),
        ([FLOOR], ["a gate policy holds `name` and a list of `gates`."]),
        (None, ["a gate policy holds `name` and a list of `gates`."]),
    ],
)
def test_what_is_no_policy_is_refused(values, problems):
    found = refused(values)
    assert len(found) == len(problems)
    assert all(line.startswith(problem) for line, problem in zip(found, problems))


def test_a_policy_in_which_everything_only_warns_is_refused():
    soft = FLOOR | {"severity": "warn"}
    problem = "gates: at least one must block, or everything would pass."
    assert refused({"name": "x", "gates": [soft]}) == [problem]
    assert refused({"name": "x", "gates": [soft, soft | {"id": "other"}]}) == [problem]
    policy = GatePolicy.from_dict({"name": "x", "gates": [soft, FLOOR | {"id": "other"}]})
    assert [gate.severity for gate in policy.gates] == ["warn", "block"]


def test_all_problems_are_told_at_once():
    gates = [FLOOR | {"metric": "nmi"}, 5, FLOOR | {"test": "x"}, FLOOR | {"thr": 1}]
    found = refused({"name": "x", "gates": gates, "owner": "me", "statistics": {"alpha": 2}})
    assert [line.split(" ")[0].rstrip(":") for line in found] == [
        "statistics.alpha",
        "owner",
        "gates[0].metric",
        "gates[1]",
        "gates[2].test",
        "gates[3].thr",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "a gate policy holds `name` and a list of `gates`"),
        ("name: [", "cannot be read as YAML"),
        ("name: a\nname: b\ngates: []", "the key name is given twice"),
        ("name: &a x\ngates: *a", r"the alias \*a"),
        ("name: !!python/name:os.system x", "the tag"),
        ("[" * 700, "nested too deeply"),
        ("#" * 70_000, "at most 65536 bytes"),
    ],
)
def test_a_file_that_is_no_policy_is_refused_by_name(file, text, problem):
    path = file(text)
    with pytest.raises(UserInputError, match=problem) as caught:
        GatePolicy.load(path)
    assert str(path) in str(caught.value)


def test_a_policy_that_is_built_by_hand_is_held_to_the_same():
    with pytest.raises(ValueError, match="let everything pass"):
        GatePolicy("x", ())
    settings: dict[str, Any] = {k: v for k, v in FLOOR.items() if k != "test"}
    gate = ValueThreshold(**settings)
    with pytest.raises(ValueError, match="given twice"):
        GatePolicy("x", (gate, gate))
    with pytest.raises(ValueError, match="at least one must block"):
        GatePolicy("x", (ValueThreshold(**settings, severity="warn"),))
    filled = {
        "at_most": None,
        "reference": None,
        "severity": "block",
        "on_inconclusive": "block",
        "on_missing_metric": "block",
    }
    assert "test" not in asdict(gate)
    assert GatePolicy("x", (gate,)).to_dict()["gates"] == [FLOOR | filled]


# The page that explains it ------------------------------------------------------------------------

PAGE = (Path(__file__).parents[2] / "docs" / "gates.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_of_the_page_is_a_policy_or_a_list_of_gates(file, example):
    if not example.startswith("name:"):
        gates = "".join(f"  {line}\n" for line in example.splitlines())
        hard = "{id: hard, test: equals, metric: embedding_width, value: 8}"
        example = f"name: x\ngates:\n  - {hard}\n{gates}"
    assert len(GatePolicy.load(file(example)).gates) > 1


def test_the_page_names_every_setting_test_and_metric():
    shown = set(re.findall(r"`(?:statistics\.|signature\.)?(\w+)", PAGE))
    shown |= set(re.findall(r"(\w+):", " ".join(EXAMPLES)))
    classes = (GatePolicy, Statistics, Signature, *TESTS.values())
    wanted = {field.name for one in classes for field in fields(one)}
    assert len(EXAMPLES) > 5 and wanted | set(TESTS) | set(KNOWN) <= shown
