from dataclasses import replace

import pytest

from saga.monitoring.policy import DriftPolicy
from saga.monitoring.verdict import State, judge
from tests.monitoring.made import made_report

POLICY = DriftPolicy("p")
ALL = {"domain_auc_gallery": 0.5, "top1_psi_gallery": 0.01, "brightness_gallery": 0.1}
LIMITS = {"domain_auc_gallery": 0.7, "top1_psi_gallery": 0.2, "brightness_gallery": 0.3}


def report(warnings: tuple[str, ...] = (), **figures: float):
    return made_report(figures=ALL | figures, thresholds=LIMITS, warnings=warnings, expected={})


def test_a_figure_that_asks_for_a_retraining_makes_one():
    verdict = judge(report(("told apart",), domain_auc_gallery=0.9), POLICY)
    assert (verdict.state, verdict.refused) == (State.RETRAIN, True)
    assert "domain_auc_gallery" in verdict.reason


def test_what_the_encoder_does_not_feel_is_watched():
    verdict = judge(report(("darker",), brightness_gallery=0.9), POLICY)
    assert (verdict.state, verdict.refused, verdict.reason) == (State.WATCH, False, "darker")
    asking = replace(POLICY, retrain_on=("image_shift",))
    assert judge(report(("darker",), brightness_gallery=0.9), asking).state is State.RETRAIN


def test_as_many_warnings_as_the_policy_wants():
    two = replace(POLICY, retrain_at=2)
    assert judge(report(("one",), domain_auc_gallery=0.9), two).state is State.WATCH
    both = report(("one", "two"), domain_auc_gallery=0.9, top1_psi_gallery=0.9)
    assert judge(both, two).state is State.RETRAIN


def test_within_all_limits_is_steady():
    verdict = judge(report(), POLICY)
    assert (verdict.state, verdict.refused) == (State.STEADY, False)
    assert "All 3 judged figures" in verdict.reason


@pytest.mark.parametrize(("setting", "refused"), [("pass", False), ("refuse", True)])
def test_what_could_not_be_judged_is_inconclusive_and_never_steady(setting, refused):
    few = made_report(
        figures={}, thresholds={}, expected={}, warnings=(), not_judged=("too few images",)
    )
    verdict = judge(few, replace(POLICY, on_inconclusive=setting))
    assert (verdict.state, verdict.refused) == (State.INCONCLUSIVE, refused)
    assert verdict.reason == "too few images"


def test_lost_recall_is_enough_where_nothing_else_could_be_judged():
    lost = made_report(
        figures={"recall_loss_gallery": 0.3},
        thresholds={"recall_loss_gallery": 0.05},
        expected={},
        warnings=("lost",),
        not_judged=("too few images",),
    )
    assert judge(lost, POLICY).state is State.RETRAIN
