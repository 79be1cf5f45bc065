"""A step's pod: progress in its log, exit codes that Kubernetes understands, only the right code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.provenance import code_digest
from pipelines.stacks.crashes import GIVEN_UP, RETRIES
from pipelines.stacks.pod import KEEP_SECONDS, OtherCodeError, check_code, sweep
from pipelines.stacks.pools import CODE

PROJECT = Path(__file__).parents[3]
CAUSED = """
from saga.errors import RefusedError
try:
    raise RefusedError("no")
except RefusedError as error:
    raise RuntimeError("x") from error
"""
BEGIN = "from pipelines.stacks import pod; pod.begin(); "


def ended(program, folder, **environment):
    """A process that begins as a pod does."""
    kept = {k: v for k, v in os.environ.items() if k != CODE}
    return subprocess.run(
        [sys.executable, "-c", BEGIN + program],
        env=kept | {"SAGA_HOME": str(folder), "PYTHONPATH": str(PROJECT)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        ("from saga.errors import UserInputError as E; raise E('no')", 2),
        ("from saga.errors import RefusedError as E; raise E('no')", 3),
        ("raise ValueError('no')", 1),
        (CAUSED, 3),
    ],
)
def test_a_pod_ends_with_the_code_of_the_cause(raised, code, tmp_path):
    done = ended(f"exec({raised!r})", tmp_path)
    assert done.returncode == code and "no" in done.stderr


def test_progress_goes_to_the_log(tmp_path):
    told = "from pipelines.progress import reporter; reporter('train saga')(3, 9, 'reward 0.71')"
    done = ended(told, tmp_path)
    assert done.returncode == 0 and "train saga: 3 of 9, reward 0.71" in done.stdout


def test_an_image_with_other_code_ends_as_wrong_input_before_the_step(tmp_path):
    done = ended("print('the step')", tmp_path, **{CODE: "0" * 64})
    assert done.returncode == 2 and "the step" not in done.stdout
    assert done.stderr.startswith("OtherCodeError: The image holds other code")


def test_the_right_code_and_no_digest_are_accepted(monkeypatch):
    monkeypatch.setenv(CODE, code_digest())
    check_code()
    monkeypatch.delenv(CODE)
    check_code()


def test_other_code_is_not_caught_by_those_who_catch_exceptions(monkeypatch):
    monkeypatch.setenv(CODE, "0" * 64)
    with pytest.raises(OtherCodeError, match="Build the image from the same commit") as error:
        check_code()
    assert not isinstance(error.value, Exception) and error.value.code == 2


def test_checkpoints_go_when_nobody_has_touched_them_for_long(tmp_path):
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}.lock").touch()
    os.utime(tmp_path / "old", (0, 0))
    os.utime(tmp_path / "new", (10, 10))
    sweep(tmp_path, now=KEEP_SECONDS + 5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "new.lock"]
    sweep(tmp_path / "nowhere")


def test_counts_of_crashes_go_too_and_locks_stay(tmp_path):
    for name in ("old", "old.lock"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    sweep(tmp_path, now=KEEP_SECONDS + 5)
    assert [path.name for path in tmp_path.iterdir()] == ["old.lock"]


def test_one_crash_more_than_the_retries_ends_the_job(tmp_path):
    pods = ["saga-1-train-aaaaa", "saga-1-train-bbbbb", "saga-2-train-aaaaa", "saga-1-train-ccccc"]
    ends = [
        ended("raise ValueError('no')", tmp_path, **{RETRIES: "1", "HOSTNAME": pod}) for pod in pods
    ]
    assert [done.returncode for done in ends] == [1, GIVEN_UP, 1, GIVEN_UP]
    assert "crash 2 of this step; jobs.retries is 1: not tried again" in ends[1].stderr


def test_a_pod_that_is_told_to_end_has_not_crashed(tmp_path):
    told = {RETRIES: "0", "HOSTNAME": "saga-1-train-aaaaa"}
    assert ended("raise SystemExit(143)", tmp_path, **told).returncode == 143
    assert not (tmp_path / "crashes").exists()
