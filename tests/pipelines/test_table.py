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
