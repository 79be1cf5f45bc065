"""The page of a gate decision: every gate in words, with its interval against its threshold."""

from saga.gates.base import GateResult, percent, points
from saga.gates.decision import GateDecision
from saga.gates.metrics import spoken
from saga.reports.bars import interval_bar
from saga.reports.page import render
from saga.reports.verdicts import VERDICTS

SLICES_SHOWN = 50
"""Of one gate, those that raise an alarm first."""


def decision_page(decision: GateDecision) -> str:
    """HTML of a decision."""
    return render(
        "decision.html.jinja",
        decision=decision,
        verdict=VERDICTS[str(decision.status)],
        gates=[
            (g, interval_bar(g.value, g.low, g.high, g.threshold), figures(g))
            for g in decision.gates
        ],
        sliced=[
            (g, g.slices[:SLICES_SHOWN], len(g.slices[SLICES_SHOWN:]))
            for g in decision.gates
            if g.slices
        ],
    )


def figures(gate: GateResult) -> str:
    """What the bar shows, in numbers; empty where a figure is missing."""
    if gate.value is None or gate.low is None or gate.high is None or gate.threshold is None:
        return ""
    say = points if gate.statistic == "difference" else percent
    unit = " points" if gate.statistic == "difference" else ""
    metric = f"{spoken(gate.metric)} " if gate.metric else ""
    asked = {"least": "at least ", "most": "at most "}.get(gate.limit or "", "threshold ")
    return (
        f"{metric}{say(gate.value)}{unit} ({say(gate.low)} to {say(gate.high)}); "
        f"{asked}{say(gate.threshold)}{unit}"
    )
