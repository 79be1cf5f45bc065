"""The workflows: linted, least privilege, and their shell run here on hostile inputs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.answer import Answer
from pipelines.commands import promote
from tests.pipelines.commands.conftest import saga  # noqa: F401 - a fixture

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
HOSTILE = "--help $(touch made) `touch made`; touch made #'\"\n${{ github.token }}"


def workflow(name: str) -> dict[str, Any]:
    found = yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text())
    found["on"] = found.pop(True)  # what YAML 1.1 makes of the key `on`
    return found


def steps(name: str) -> list[dict[str, Any]]:
    (job,) = workflow(name)["jobs"].values()
    return job["steps"]


def shell(name: str, step: str, folder: Path, **environment: str) -> subprocess.CompletedProcess:
    """Run a step as a runner does."""
    (found,) = [s["run"] for s in steps(name) if s.get("name") == step]
    env = {"PATH": os.environ["PATH"], "RUNNER_TEMP": str(folder)} | environment
    return subprocess.run(
        ["bash", "-e", "-c", found], cwd=folder, env=env, capture_output=True, text=True, timeout=60
    )


def test_actionlint_finds_nothing():
    beside = Path(sys.executable).parent / "actionlint"
    actionlint = beside if beside.exists() else shutil.which("actionlint")
    if actionlint is None:
        pytest.skip("actionlint is not here, so the workflows are not linted: run .ci/tools .venv")
    done = subprocess.run(
        [actionlint, *FILES], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout


def test_there_are_two_workflows():
    assert [path.stem for path in FILES] == ["promote", "test"]


@pytest.mark.parametrize("name", ["promote", "test"])
def test_a_workflow_may_read_the_repository_and_nothing_else(name):
    found = workflow(name)
    assert found["permissions"] == {"contents": "read"}
    for job in found["jobs"].values():
        assert "permissions" not in job and 0 < job["timeout-minutes"] <= 60
    text = (ROOT / ".github" / "workflows" / f"{name}.yml").read_text()
    assert "secrets" not in text and "pull_request_target" not in text


@pytest.mark.parametrize("name", ["promote", "test"])
def test_actions_are_pinned_and_leave_no_credentials(name):
    used = [step for step in steps(name) if "uses" in step]
    for step in used:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", step["uses"])
    (checkout,) = [step for step in used if step["uses"].startswith("actions/checkout@")]
    assert checkout["with"]["persist-credentials"] is False


@pytest.mark.parametrize("name", ["promote", "test"])
def test_nothing_is_put_into_shell(name):
    assert not [step for step in steps(name) if "${{" in step.get("run", "")]


def test_every_stage_of_ci_is_run_on_pull_requests_and_main():
    found = workflow("test")
    assert found["on"]["push"] == {"branches": ["main"]} and "pull_request" in found["on"]
    script = (ROOT / ".ci" / "run").read_text()
    stages = re.search(r"set -- (.+); fi", script).group(1).split()
    ran = " ".join(s["run"].removeprefix(".ci/run ") for s in steps("test") if "run" in s).split()
    assert sorted(ran) == sorted(stages)
    odd = subprocess.run([ROOT / ".ci" / "run", "nonsense"], capture_output=True, timeout=60)
    assert odd.returncode == 2


def test_promotions_are_approved_and_queue():
    found = workflow("promote")
    assert list(found["on"]) == ["workflow_dispatch"]
    assert found["jobs"]["promote"]["environment"] == "production"
    assert found["concurrency"] == {
        "group": "promote",
        "cancel-in-progress": False,
        "queue": "max",
    }


@pytest.fixture
def stub(tmp_path):
    """A `saga` and a Python that write down their arguments."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name in ("saga", "python"):
        command = tmp_path / ".venv" / "bin" / name
        command.write_text(
            '#!/usr/bin/env bash\nprintf "%s\\0" "$@" >arguments\necho "{}"\nexit "${CODE:-0}"\n'
        )
        command.chmod(0o755)
    return tmp_path


def given(folder: Path) -> list[str]:
    return (folder / "arguments").read_text().split("\0")[:-1]


def test_inputs_reach_the_command_as_they_are_and_never_the_shell(stub):
    asked = dict.fromkeys(("MODEL", "VERSION", "STAGE", "POLICY", "REASON"), HOSTILE)
    done = shell("promote", "Promote", stub, **asked)
    assert done.returncode == 0, done.stderr
    assert given(stub) == [
        "promote",
        *(f"--{name}={HOSTILE}" for name in ("to", "policy", "reason")),
        *("--json", "--", HOSTILE, HOSTILE),
    ]
    assert not (stub / "made").exists()
    assert (stub / "outcome.json").read_text() == "{}\n"


def test_a_refusal_fails_the_step_with_its_own_exit_code(stub):
    asked = {"MODEL": "m", "VERSION": "1", "STAGE": "staging", "POLICY": "default", "REASON": ""}
    assert shell("promote", "Promote", stub, CODE="3", **asked).returncode == 3


def test_the_command_line_takes_what_the_workflow_gives(stub, saga, monkeypatch):  # noqa: F811
    asked = {"MODEL": "birds", "VERSION": "7", "STAGE": "staging", "POLICY": "strict.yaml"}
    shell("promote", "Promote", stub, REASON="why not", **asked)
    monkeypatch.setattr(promote, "main", lambda *given: Answer({"given": given}, ""))
    said = saga(*given(stub))
    assert said.facts["given"] == ["birds", "7", "staging", "strict.yaml", "why not"]


def test_the_summary_is_written_after_a_refusal_too(stub):
    summary, asked = stub / "summary.md", dict.fromkeys(("MODEL", "VERSION", "STAGE"), HOSTILE)
    summary.write_text("before\n")
    done = shell("promote", "Say what was decided", stub, GITHUB_STEP_SUMMARY=str(summary), **asked)
    assert done.returncode == 0 and not (stub / "made").exists()
    outcome = str(stub / "outcome.json")
    assert given(stub) == ["-m", "pipelines.job_summary", "--", outcome, *[HOSTILE] * 3]
    assert summary.read_text() == "before\n{}\n"
    last = steps("promote")[-1]
    assert last["name"] == "Say what was decided"
    assert last["if"] == "${{ !cancelled() && steps.promote.outcome != 'skipped' }}"


@pytest.mark.parametrize("store", [None, "absent", "empty"])
def test_without_the_store_nothing_is_tried(tmp_path, store):
    (tmp_path / "empty").mkdir()
    given = {} if store is None else {"SAGA_HOME": str(tmp_path / store)}
    done = shell("promote", "The store is there", tmp_path, **given)
    assert done.returncode == 2 and "SAGA_HOME" in done.stdout


def test_with_the_store_it_goes_on(tmp_path):
    (tmp_path / "zenml").mkdir()
    assert shell("promote", "The store is there", tmp_path, SAGA_HOME=str(tmp_path)).returncode == 0
