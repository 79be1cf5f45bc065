"""The table that a run ends with."""

import re

from pipelines.table import table
from tests.reports.made import made_summary


def test_a_studys_interval_stands_beside_the_runs_own():
    text = table(made_summary())
    assert re.search(
        r"^saga-dml: R@1 \+13\.1 .*; study of 5 seeds \+9\.4 \(\+6\.1 to \+12\.8\)$", text, re.M
    )
    assert re.search(r"^saga-pretrained: .*\+67\.0\)$", text, re.M)


def test_without_a_study_only_the_runs_own_is_told():
    summary = made_summary()
    del summary["study"]
    assert "study of" not in table(summary)


def gate_lines(*gates):
    summary = made_summary()
    summary["gate"]["gates"] = list(gates)
    lines = table(summary).splitlines()
    return lines[lines.index("gates: PASS") + 1 :][: len(gates)]


def test_what_blocks_and_what_warns_are_told_apart():
    gates = [
        {"id": "a", "status": "PASS", "effect": "none", "reason": "fine"},
        {"id": "b", "status": "FAIL", "effect": "blocks", "reason": "bad"},
        {"id": "c", "status": "INCONCLUSIVE", "effect": "warns", "reason": "few"},
        {"id": "d", "status": "ERROR", "reason": "of before effects"},
    ]
    assert gate_lines(*gates) == [
        "  PASS                  a: fine",
        "  FAIL          blocks  b: bad",
        "  INCONCLUSIVE  warns   c: few",
        "  ERROR                 d: of before effects",
    ]


def test_a_reason_stays_on_its_line_and_moves_no_cursor():
    reason = "class x\n  PASS  forged: fine\x1b[2J\u202e -5.0"
    gate = {"id": "a", "status": "FAIL", "effect": "blocks", "reason": reason}
    assert gate_lines(gate) == ["  FAIL          blocks  a: class x PASS forged: fine�[2J� -5.0"]
