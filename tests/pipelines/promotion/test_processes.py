"""Many processes at once, and processes that are killed at each step."""

import itertools
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipelines.promotion.audit import read_audit
from pipelines.promotion.moving import STEPS
from pipelines.promotion.promoting import promote
from pipelines.registry import production
from saga.gates.policy import GatePolicy
from tests.pipelines.promotion.made import (
    POLICY,
    Version,
    again,
    in_production,
    register,
    stages,
)

ROOT = Path(__file__).parents[3]
AT_ONCE = 20

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def processes(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.pipelines.promotion.processes"],
        input=json.dumps(jobs),
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


def test_of_twenty_at_once_one_wins_and_the_others_leave_nothing(saga, promoted: Version):
    model = promoted.model
    candidate = register(model, 2, production=promoted.encoder_digest)
    versions = [candidate.number, *again(candidate, AT_ONCE - 1)]
    answers = processes([{"command": ["promote", model, v]} for v in versions])
    assert Counter(a["code"] for a in answers) == {0: 1, 3: AT_ONCE - 1}, answers
    (winner,) = [v for v, a in zip(versions, answers, strict=True) if a["code"] == 0]
    assert all("outdated" in a["said"] for a in answers if a["code"] == 3)
    expected = dict.fromkeys(versions, "none") | {1: "archived", winner: "production"}
    assert {v: s or "none" for v, s in stages(model).items()} == expected
    records = read_audit(model)
    assert [(r.phase, r.move.to_version) for r in records] == [
        ("begun", 1),
        ("done", 1),
        ("begun", winner),
        ("done", winner),
    ]
    said = saga("history", model, "--json")
    assert said.code == 0 and said.facts["stages"] == {"production": winner}


def test_a_promotion_and_rollbacks_at_once_lose_no_record(saga, promoted: Version):
    model = promoted.model
    for seed in (2, 3):
        made = register(model, seed, production=production(model).digest)
        assert saga("promote", model, made.number, "--to", "production").code == 0
    register(model, 4, production=made.encoder_digest)
    jobs = [["promote", model, 4], *[["rollback", model]] * 3]
    answers = processes([{"command": job} for job in jobs])
    moves = [r.move for r in read_audit(model) if r.phase == "done"]
    assert len(moves) == 3 + sum(a["code"] == 0 for a in answers)
    assert {a["code"] for a in answers} <= {0, 3}
    assert all(a.to_version == b.from_version for a, b in itertools.pairwise(moves))
    assert in_production(model) == [moves[-1].to_version]
    assert saga("history", model).code == 0


CASES = [("promote", step) for step in STEPS] + [("rollback", "begun"), ("rollback", "staged")]


@pytest.fixture(scope="module")
def killed() -> dict[tuple[str, str], str]:
    """By command and step: a model whose process was killed there, nothing settled since."""
    policy = GatePolicy.load(POLICY)
    jobs, names = [], {}
    for command, step in CASES:
        name = names[command, step] = f"killed-{command}-{step}"
        one = register(name, 1)
        register(name, 2, production=one.encoder_digest)
        promote(name, "1", "production", policy, POLICY)
        if command == "rollback":
            promote(name, "2", "production", policy, POLICY)
        doing = ["promote", name, 2] if command == "promote" else ["rollback", name]
        jobs.append({"command": doing, "kill_at": step})
    assert {a["code"] for a in processes(jobs)} == {-signal.SIGKILL}
    return names


@pytest.mark.parametrize(("command", "step"), CASES)
def test_a_killed_one_leaves_the_old_or_the_new_and_the_next_command_settles_it(
    saga, killed, command, step
):
    model = killed[command, step]
    old, new = (1, 2) if command == "promote" else (2, 1)
    there = old if step in ("locked", "begun") else new
    assert in_production(model) == [there], "before anything was settled"
    records = read_audit(model)
    assert records[-1].phase == ("begun" if step in ("begun", "staged", "repaired") else "done")

    said = saga("history", model, "--json")
    assert said.code == 0, said.out
    assert said.facts["stages"] == {"production": there} and in_production(model) == [there]
    assert read_audit(model)[-1].phase == ("abandoned" if step == "begun" else "done")

    done = saga("promote", model, 2, "--to", "production")
    assert done.code == 0, done.err
    assert in_production(model) == [2]


def test_a_record_that_was_not_noted_before_the_kill_is_noted_by_the_next_command(saga, killed):
    model = killed["rollback", "staged"]
    from pipelines.promotion.audit import Audit
    from pipelines.registry import existing_model

    saga("history", model)
    audit = Audit(existing_model(model))
    last = audit.records()[-1]
    Path(audit.shelf.path(f"{last.number:08d}.json")).unlink()
    said = saga("history", model)
    assert said.code == 3 and f"knows of record {last.number}" in said.out
