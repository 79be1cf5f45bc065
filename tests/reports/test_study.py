import re

import pytest

from saga.reports.study import study_report
from saga.studies.cells import study_cells
from saga.studies.store import CellStore
from saga.studies.summary import summarise
from tests.studies.filled import fill, study

RIGHT = {"pretrained": 0.05, "dml": 0.1, "saga": 0.5, "kl_only": 0.3}


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    store, cells = CellStore(tmp_path_factory.mktemp("cells")), study_cells(study(), None)
    for cell in cells:
        fill(store, cell, RIGHT[cell.arm])
    made = summarise(
        study(), None, cells, store, [], {"git_commit": "abc", "versions": {"torch": "1"}}
    )
    return made | {"command": "saga study tiny.yaml"}


def test_the_page_begins_with_which_targets_are_met(summary):
    page = study_report(summary)
    body = page[page.index("<body>") :]
    assert body.index(summary["verdict"]) < body.index(summary["targets"][0]["words"])
    assert body.index(summary["targets"][0]["words"]) < body.index("<h2>")
    assert 'class="banner PASS"' in body


def test_a_floor_that_is_missed_fails_and_an_aim_does_not(summary):
    target = summary["targets"][0] | {"met": False}
    assert 'class="banner FAIL"' in study_report(summary | {"targets": [target]})
    aim = target | {"kind": "aim"}
    page = study_report(summary | {"targets": [summary["targets"][0], aim]})
    assert 'class="banner PASS"' in page


def test_every_seed_stands_in_the_page(summary):
    page = study_report(summary)
    for arm in summary["regimes"]["small"]["arms"].values():
        for metric in ("recall_at_1", "recall_at_4", "map_at_r", "nmi"):
            each = " ".join(f"{100 * value:.1f}" for value in arm["per_seed_metrics"][metric])
            assert each in page


def test_the_page_is_whole_by_itself_and_text_in_it_is_text(summary):
    hostile = "<script>alert(1)</script>"
    failed = [{"cell": hostile, "exit_code": 1, "log": hostile, "reason": hostile}]
    page = study_report(summary | {"failed": failed, "command": hostile})
    assert "<script" not in page and page.count("&lt;script&gt;") == 4
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert page.count("data:image/png;base64,") == 2


def test_what_is_not_complete_says_so_and_missing_seeds_are_dashes(summary):
    arms = summary["regimes"]["small"]["arms"]
    lost = {name: [None, values[1]] for name, values in arms["saga"]["per_seed_metrics"].items()}
    saga = arms["saga"] | {"per_seed": lost["recall_at_1"], "per_seed_metrics": lost}
    regime = {"arms": arms | {"saga": saga}, "differences": {}}
    partly = {"complete": False, "cells_done": 7, "cells": 8, "regimes": {"small": regime}}
    page = study_report(summary | partly)
    assert 'class="banner UNJUDGED"' in page and "7 of 8 cells are there." in page
    failed = [{"cell": "small/saga/0", "exit_code": 1, "log": "a.log", "reason": "broke"}]
    assert 'class="banner FAILED"' in study_report(summary | partly | {"failed": failed})
    assert f"– {100 * lost['recall_at_1'][1]:.1f}" in page
