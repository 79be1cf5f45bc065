import json
from dataclasses import asdict
from pathlib import Path

import pytest

from saga.errors import UserInputError
from saga.gates.floor import Floor
from saga.gates.non_inferiority import NonInferiority
from saga.gates.policy import KINDS, GatePolicy

DEFAULT = Path(__file__).parents[2] / "configs" / "gates" / "default.yaml"
FLOOR = {
    "id": "floor",
    "kind": "floor",
    "metric": "recall_at_1",
    "threshold": 0.5,
    "statistic": "point",
}
TEXT = """
name: strict      # a comment
gates:
  - id: floor
    kind: floor
    metric: recall_at_1
    threshold: 2e-1
    statistic: lower_bound
  - {margin: 0.02, metric: map_at_r, kind: non_inferiority, id: not_worse}
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
    assert GatePolicy.load(file(TEXT)) == GatePolicy(
        "strict",
        (
            Floor(id="floor", metric="recall_at_1", threshold=0.2, statistic="lower_bound"),
            NonInferiority(
                id="not_worse",
                metric="map_at_r",
                margin=0.02,
                reference="baseline",
                confidence=0.95,
                margin_standard_errors=2.5,
            ),
        ),
    )


def test_the_policy_that_comes_along_has_a_floor_and_a_comparison_with_the_baseline():
    gates = GatePolicy.load(DEFAULT).gates
    assert [gate.kind for gate in gates] == ["floor", "non_inferiority"]
    assert gates[1].reference == "baseline"


def test_the_digest_is_of_the_settings_not_of_how_they_are_written(file):
    policy = GatePolicy.load(file(TEXT))
    again = TEXT.replace("# a comment", "").replace(
        "{margin: 0.02, metric: map_at_r,", "{metric: map_at_r, margin: 2.0e-2, confidence: 0.95,"
    )
    assert GatePolicy.load(file(again)).digest == policy.digest
    for a, b in (
        ("2e-1", "0.21"),
        ("floor\n", "flaw\n"),
        ("strict", "lax"),
        ("lower_bound", "point"),
    ):
        assert GatePolicy.load(file(TEXT.replace(a, b, 1))).digest != policy.digest


def test_plain_values_and_json_bring_the_policy_back(file):
    policy = GatePolicy.load(file(TEXT))
    again = GatePolicy.from_dict(json.loads(json.dumps(policy.to_dict())))
    assert again == policy and again.digest == policy.digest


def test_every_kind_is_known_by_its_own_name():
    assert {kind: cls.kind for kind, cls in KINDS.items()} == {kind: kind for kind in KINDS}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"metric": "nmi"}, "gates[0].metric: nmi moves by several points with the seed"),
        ({"metric": "recall@1"}, "gates[0].metric must be one of recall_at_1, recall_at_2"),
        ({"threshold": "0.5"}, "gates[0].threshold must be a number; got '0.5' (text)."),
        ({"threshold": True}, "gates[0].threshold must be a number; got True (true or false)."),
        ({"threshold": 0}, "gates[0].threshold must be a fraction above 0 and at most 1, got 0.0."),
        ({"threshold": 30}, "gates[0].threshold must be a fraction above 0 and at most 1, got 30"),
        ({"threshold": float("nan")}, "gates[0].threshold must be a finite number, got nan."),
        ({"threshold": None}, "gates[0].threshold must be a number; got null."),
        (
            {"statistic": "lower"},
            "gates[0].statistic must be one of lower_bound, point; got 'lower'",
        ),
        ({"confidence": 95}, "gates[0].confidence must be in [0.5, 1), for example 0.95, got 95"),
        ({"id": "Floor"}, "gates[0].id must be lower-case letters, digits and _"),
        ({"id": 5}, "gates[0].id must be text; got 5 (an integer); put it in quotes."),
        (
            {"kind": "flor"},
            "gates[0].kind must be one of floor, non_inferiority; got 'flor' (text)",
        ),
        ({"kind": ["floor"]}, "gates[0].kind must be one of floor, non_inferiority; got ['floor']"),
        ({"margin": 0.02}, "gates[0].margin is not a setting. Allowed in gates[0]: id, metric"),
        (
            {"treshold": 0.02},
            "gates[0].treshold is not a setting. Nearest: gates[0].threshold (a number in",
        ),
    ],
)
def test_a_wrong_setting_is_refused_with_its_place(changes, problem):
    found = refused({"name": "x", "gates": [FLOOR | changes]})
    assert len(found) == 1 and found[0].startswith(problem)


@pytest.mark.parametrize("missing", ["id", "kind", "metric", "threshold", "statistic"])
def test_a_setting_without_a_default_must_be_given(missing):
    values = {k: v for k, v in FLOOR.items() if k != missing}
    (found,) = refused({"name": "x", "gates": [values]})
    assert found.startswith(f"gates[0].{missing} ")


@pytest.mark.parametrize(
    ("values", "problems"),
    [
        ({"name": "x", "gates": []}, ["gates: a policy without gates would let everything pass."]),
        ({"name": "x"}, ["gates is missing."]),
        ({"gates": [FLOOR]}, ["name is missing."]),
        ({"name": "", "gates": [FLOOR]}, ["name must not be empty."]),
        ({"name": "x", "gates": [FLOOR, FLOOR]}, ["gates: the id floor is given twice."]),
        ({"name": "x", "gates": {"floor": FLOOR}}, ["gates must be a list of sections with id"]),
        ({"name": "x", "gates": ["floor"]}, ["gates[0] must be a section with id, kind"]),
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


def test_all_problems_are_told_at_once():
    gates = [FLOOR | {"metric": "nmi"}, 5, FLOOR | {"kind": "x"}, FLOOR | {"thr": 1}]
    found = refused({"name": "x", "gates": gates, "owner": "me"})
    assert [line.split(" ")[0].rstrip(":") for line in found] == [
        "owner",
        "gates[0].metric",
        "gates[1]",
        "gates[2].kind",
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
    gate = Floor(**{k: v for k, v in FLOOR.items() if k != "kind"})
    with pytest.raises(ValueError, match="given twice"):
        GatePolicy("x", (gate, gate))
    assert "kind" not in asdict(gate) and GatePolicy("x", (gate,)).to_dict()["gates"] == [
        FLOOR | {"confidence": 0.95}
    ]
