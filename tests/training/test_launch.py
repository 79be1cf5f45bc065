"""One machine of several: torchrun gets the folder, and the exit code says what happened."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from saga.training.launch import exit_code, launch

PROJECT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("codes", "answer"),
    [
        ({0: 1}, 1),
        ({0: -9, 1: 1}, 1),
        ({0: -15}, 143),
        ({0: 1, 1: 143}, 143),  # the others noticed that one was told
        ({0: 1, 1: 2}, 2),
        ({0: 143, 1: 3}, 3),
    ],
)
def test_the_telling_exit_code_wins(codes, answer):
    assert exit_code(codes) == answer


def test_torchrun_gets_the_module_and_the_folder():
    asked = []
    assert launch(["--nnodes=2", "/cache/x"], asked.extend) == 0
    assert asked == ["--nnodes=2", "-m", "saga.training.processes", "/cache/x"]


def test_an_end_on_request_and_a_childs_failure_are_told_apart(tmp_path, capsys):
    def told(arguments):
        raise SignalException("told", signal.SIGTERM)

    def failed(arguments):
        raise ChildFailedError("x", {1: ProcessFailure(1, 10, 2, str(tmp_path / "none"))})

    assert launch(["/x"], told) == 143
    assert launch(["/x"], failed) == 2
    assert "exitcode" in capsys.readouterr().err


def test_wrong_input_of_a_process_is_the_exit_code_of_the_machine(tmp_path):
    (tmp_path / "arm.json").write_text('{"arm": {"nam": "x"}, "checkpoints": null}')
    environment = {"PATH": os.environ["PATH"], "PET_NNODES": "1", "PET_NPROC_PER_NODE": "1"}
    ended = subprocess.run(
        [sys.executable, "-m", "saga.training.launch", str(tmp_path)],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 2, ended.stderr
    assert '"kind": "UserInputError"' in (tmp_path / "failure.json").read_text().replace("\n", "")
