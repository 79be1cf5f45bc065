"""From a run to production, the next one judged against it, and back: all through the command line."""

import json
import shutil
from pathlib import Path

import pytest

from tests.e2e.command import TINY, saga

LENIENT = """
name: lenient
cold_start: baseline
gates:
  - {id: floor, test: value_threshold, metric: recall_at_1, at_least: 0.001, on: point}
  - {id: not_far_below, test: change_threshold, metric: recall_at_1, reference: production, at_least: -0.9}
  - {id: same_after_reload, test: equals, metric: reload_agreement, value: 1.0}
  - {id: width, test: equals, metric: embedding_width, reference: production}
"""
"""What any working encoder passes: the figures of so small a run mean nothing."""
STRICT = """
name: strict
cold_start: refuse
gates:
  - {id: perfect, test: value_threshold, metric: recall_at_1, at_least: 0.999, on: point}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lifecycle")
    shutil.copy(TINY, folder / "tiny.yaml")
    (folder / "lenient.yaml").write_text(LENIENT)
    (folder / "strict.yaml").write_text(STRICT)
    return folder


def run(place: Path, *settings: str) -> dict:
    words = [word for setting in ("ablations=[]", *settings) for word in ("--set", setting)]
    done = saga("run", "tiny.yaml", "--json", *words, folder=place)
    assert done.code in (0, 3), done.err
    return done.json


def promote(place: Path, version: int, policy: str = "lenient.yaml", **extra: str):
    return saga(
        *("promote", "tiny", str(version), "--to", "production", "--policy", policy),
        folder=place,
        **extra,
    )


@pytest.fixture(scope="module")
def first(place: Path) -> dict:
    """A run whose gates pass, in production."""
    summary = run(place, "gates=lenient.yaml")
    assert summary["gate"]["status"] == "PASS" and "production" not in summary["methods"]
    done = promote(place, 1, SAGA_ACTOR="jana@ci")
    assert done.code == 0 and "tiny:1 is in production now, the first there" in done.out, done.err
    return summary


@pytest.fixture(scope="module")
def second(place: Path, first: dict) -> dict:
    """The next run, of other pairs, judged against the first."""
    return run(place, "gates=lenient.yaml", "mining.pairs=16")


@pytest.mark.timeout(600)
def test_the_next_run_is_judged_against_what_is_in_production(first, second):
    assert (
        second["methods"]["production"]["encoder_digest"]
        == (first["methods"]["saga"]["encoder_digest"])
    )
    assert second["methods"]["production"]["recall_at_1"] == first["methods"]["saga"]["recall_at_1"]
    assert "saga-production" in second["differences"]
    assert second["timings"]["evaluate_production"] > first["timings"]["evaluate_production"]
    (gate,) = (g for g in second["gate"]["gates"] if g["id"] == "not_far_below")
    assert "production has" in gate["reason"] and "Nothing is in production" not in gate["reason"]


@pytest.mark.timeout(600)
def test_a_version_whose_gates_said_no_is_never_promoted(place, second):
    refused = run(place, "gates=strict.yaml", "mining.pairs=16")
    assert refused["gate"]["status"] == "FAIL"
    for policy in ("strict.yaml", "lenient.yaml"):
        done = promote(place, refused["model"]["version"], policy)
        assert done.code == 3 and "is not promoted to production" in done.err
    assert "The gates said FAIL" in promote(place, 3, "strict.yaml").err


@pytest.mark.timeout(600)
def test_promoted_rolled_back_and_told(place, second):
    done = promote(place, 2)
    assert done.code == 0 and "instead of version 1" in done.out, done.err
    assert "Re-index the gallery" in done.out and "saga rollback tiny" in done.out
    back = saga("rollback", "tiny", "--reason", "wrong matches", folder=place)
    assert back.code == 0 and "tiny:1" in back.out, back.err
    # The evidence of version 2 is about production as it is again: it may be promoted once more.
    history = saga("history", "tiny", "--json", folder=place)
    assert history.code == 0, history.err
    actions = [
        (r["action"], r["to_version"]) for r in history.json["records"] if r["phase"] == "done"
    ]
    assert actions == [("promote", 1), ("promote", 2), ("rollback", 1)]
    assert history.json["records"][0]["who"] == "jana@ci"


@pytest.mark.timeout(600)
def test_lineage_goes_from_the_live_encoder_to_its_data_and_to_who_used_it(place, second):
    told = saga("lineage", "tiny:1", "--json", "--html", "lineage.html", folder=place)
    assert told.code == 0, told.err
    text = json.dumps(told.json)
    for digest in (second["dataset"]["digest"], second["methods"]["production"]["encoder_digest"]):
        assert digest in text
    assert second["run_id"] in text, "the run that was judged against it is among its consumers"
    assert (place / "lineage.html").read_text().startswith("<!doctype html>")
    checked = saga("lineage", "tiny:1", "--verify", folder=place)
    assert checked.code == 0, checked.out + checked.err
    changed = saga("lineage", "tiny", "--diff", "1", "2", "--json", folder=place)
    assert changed.code == 0 and "mining.pairs" in json.dumps(changed.json), changed.err
