"""The figures in the tables of docs/study.md are those of the committed results."""

from pathlib import Path

import pytest

from benchmarks.page import filled
from benchmarks.study_tables import STUDIES, TABLES, arms, regimes, tries

PAGE = Path(__file__).parents[2] / "docs/study.md"


def test_the_page_holds_what_the_results_say():
    assert filled(PAGE.read_text(), TABLES, STUDIES) == PAGE.read_text(), (
        "run python -m benchmarks.study_tables docs/study.md"
    )


def test_a_page_without_a_table_s_place_is_refused():
    with pytest.raises(ValueError, match=f"must hold <!-- {next(iter(TABLES))} -->"):
        filled("nothing", TABLES, STUDIES)


STUDY = {
    "command": "saga study x.yaml",
    "date": "2026-01-02T03:04:05Z",
    "commits": ["0123456789abcdef", "fedcba9876543210"],
    "seeds": 2,
    "cells": 4,
    "cell_seconds": 90.0,
}


def difference(mean, per_seed):
    return {
        "mean": mean,
        "low": mean - 0.01,
        "high": mean + 0.01,
        "seed_low": mean - 0.02,
        "seed_high": mean + 0.02,
        "per_seed": per_seed,
    }


def test_a_regime_says_its_differences_with_both_intervals_and_every_seed():
    rates = {"dml": {"recall_at_1": 0.5}, "saga": {"recall_at_1": 0.625}}
    found = {"saga-dml": difference(0.125, [0.1, 0.15])}
    lines = list(regimes(STUDY | {"regimes": {"hazy_x": {"arms": rates, "differences": found}}}))
    assert lines[0] == (
        "`saga study x.yaml`; 2026-01-02, commits 0123456789, fedcba9876; 2 seeds, 4 cells, 2 minutes "
        "of them one after the other."
    )
    assert lines[-1] == (
        "| hazy x | 50.0 |  | 62.5 | +12.5 (classes +11.5 to +13.5; seeds +10.5 to +14.5); +10.0 +15.0 "
        "|  |"
    )


def test_tries_are_told_with_every_seed():
    found = {
        "study": "tries",
        "date": "2026-01-02T03:04:05Z",
        "commits": ["0123456789abcdef"],
        "tuning": {"seeds": 2, "data_seed": 901},
        "steps": 120,
        "settings": [{"arm": "saga", "mean": 0.5, "per_seed": [0.4, 0.6]}],
    }
    *_, last = tries(found)
    assert last == "| saga | 50.0 | 40.0 60.0 |"


def test_arms_of_a_study_that_lacks_one_are_not_left_out_in_silence():
    regime = {"hazy_habitat": {"arms": {}, "differences": {}}}
    with pytest.raises(KeyError, match="dml_one_query"):
        list(arms(STUDY | {"regimes": regime}))
