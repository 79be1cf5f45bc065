import json
from pathlib import Path

import pytest

from saga.errors import UserInputError
from saga.monitoring.policy import KINDS, DriftPolicy, Limits

DEFAULT = Path(__file__).parents[2] / "configs" / "monitoring" / "default.yaml"


def refused(values: object) -> list[str]:
    with pytest.raises(UserInputError) as caught:
        DriftPolicy.from_dict(values, "p.yaml")
    return str(caught.value).splitlines()


def test_the_policy_that_comes_along_writes_the_documented_defaults_out():
    assert DriftPolicy.load(DEFAULT) == DriftPolicy("default")


def test_plain_values_and_json_bring_the_policy_back():
    policy = DriftPolicy(
        "strict", Limits(image_shift=0.5), retrain_on=("recall_loss",), chance=0.01
    )
    again = DriftPolicy.from_dict(json.loads(json.dumps(policy.to_dict())))
    assert again == policy and again.digest == policy.digest
    assert DriftPolicy("strict").digest != policy.digest


def test_every_kind_has_a_limit():
    assert all(getattr(Limits(), kind) > 0 for kind in KINDS)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"fewest_row": 3}, "p.yaml: fewest_row is not a setting. Nearest: fewest_rows"),
        (
            {"limits": {"domain_auc": "0.1"}},
            "p.yaml: limits.domain_auc must be a number; got '0.1'",
        ),
        ({"limits": {"domain_auc": 0.6}}, "p.yaml: limits.domain_auc must be below 0.5, got 0.6"),
        ({"limits": {"image_shift": 0}}, "p.yaml: limits.image_shift must be above 0"),
        ({"chance": 0}, "p.yaml: chance must be above 0 and at most 0.1"),
        ({"retrain_on": ["nmi"]}, "p.yaml: retrain_on must be"),
        ({"retrain_on": []}, "p.yaml: retrain_on must name kinds of figures"),
        ({"most_rows": 100}, "p.yaml: most_rows must be at least fewest_rows (200), got 100"),
        ({"on_inconclusive": "alarm"}, "p.yaml: on_inconclusive must be one of pass, refuse"),
        ({"fewest_rows": True}, "p.yaml: fewest_rows must be an integer"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_place(values, problem):
    (line,) = refused({"name": "x"} | values)
    assert line.startswith(problem)


def test_all_problems_are_told_at_once():
    assert len(refused({"chance": 2, "limits": {"recall_loss": -1}, "unknown": 1})) >= 3
    assert refused([]) == ["p.yaml: a drift policy holds `name`, `limits` and so on."]
    assert refused({}) == ["p.yaml: name is missing."]
