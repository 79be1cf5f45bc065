import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from pipelines.answer import REFUSED, Answer, perform
from saga.errors import RefusedError, SagaError, UserInputError


def said(capsys, work, code: int, **options) -> tuple[str, str]:
    """What went to stdout and stderr."""
    with pytest.raises(typer.Exit) as caught:
        perform(work, **options)
    assert caught.value.exit_code == code
    return capsys.readouterr()


def raising(error: BaseException):
    def work() -> Answer:
        raise error

    return work


def caused(outer: BaseException, inner: BaseException) -> BaseException:
    """As a library does that wraps what it was told."""
    outer.__cause__ = inner
    return outer


def during(outer: Exception, inner: BaseException) -> BaseException:
    """An error while another one was handled."""
    try:
        try:
            raise inner
        except BaseException:
            raise outer  # noqa: B904 - that is the point
    except Exception as error:
        return error


def test_a_result_is_text_for_people_and_one_object_for_machines(capsys):
    answer = Answer({"images": 3, "name": "Zürich"}, "three images")
    assert said(capsys, lambda: answer, 0) == ("three images\n", "")
    out, err = said(capsys, lambda: answer, 0, as_json=True)
    assert json.loads(out) == {"status": "ok", "images": 3, "name": "Zürich"}
    assert (out.count("\n"), err) == (1, "")


def test_a_refusal_is_a_result_with_an_exit_code_of_its_own(capsys):
    answer = Answer({"gate": "FAIL"}, "worse", REFUSED)
    assert said(capsys, lambda: answer, 3) == ("worse\n", "")
    out, _ = said(capsys, lambda: answer, 3, as_json=True)
    assert json.loads(out) == {"status": "refused", "gate": "FAIL"}


NO_SPACE = OSError(errno.ENOSPC, "No space left on device", "/data/x")

FAILURES = [
    (UserInputError("a is wrong."), 2, "error", "a is wrong."),
    (RefusedError("the gate said no."), 3, "refused", "the gate said no."),
    (SagaError("oops"), 1, "failed", "the fault is ours: SagaError: oops."),
    (ValueError("first\nsecond"), 1, "failed", "the fault is ours: ValueError: first."),
    (ValueError(), 1, "failed", "the fault is ours: ValueError."),
    (MemoryError(), 1, "failed", "the fault is ours: MemoryError."),
    (SystemExit(0), 1, "failed", "the fault is ours: SystemExit: 0."),
    (KeyboardInterrupt(), 130, "interrupted", "Interrupted. Nothing was left half-written"),
    (NO_SPACE, 2, "error", "No space left on the disk ([Errno 28]"),
    (OSError(errno.EDQUOT, "Quota", "/x"), 2, "error", "No space left on the disk ([Errno 122]"),
    (PermissionError(errno.EACCES, "Denied", "/x"), 2, "error", "Give a place that you may read"),
    (OSError(errno.EROFS, "Read-only", "/x"), 2, "error", "Give a place that you may read"),
    (FileNotFoundError(errno.ENOENT, "Gone", "/x"), 1, "failed", "FileNotFoundError: [Errno 2]"),
    (caused(RuntimeError("step failed"), UserInputError("a is wrong.")), 2, "error", "a is wrong."),
    (during(RuntimeError("step"), UserInputError("a is wrong.")), 2, "error", "a is wrong."),
    (
        caused(RuntimeError(1), caused(RuntimeError(2), RefusedError("no."))),
        3,
        "refused",
        "no.",
    ),
    (caused(RuntimeError("x"), KeyboardInterrupt()), 130, "interrupted", "Interrupted."),
    (caused(RuntimeError("x"), NO_SPACE), 2, "error", "No space left on the disk"),
    (caused(RuntimeError("outer"), ValueError("inner")), 1, "failed", "RuntimeError: outer."),
    (caused(SagaError("ours"), UserInputError("yours.")), 2, "error", "yours."),
]


@pytest.mark.parametrize(
    ("error", "code", "status", "message"), FAILURES, ids=lambda v: type(v).__name__
)
def test_every_failure_has_its_exit_code_its_words_and_its_object(
    capsys, error, code, status, message
):
    out, err = said(capsys, raising(error), code)
    assert out == "" and message in err and "Traceback" not in err
    out, err = said(capsys, raising(error), code, as_json=True)
    facts = json.loads(out)
    assert (facts["status"], facts["exit_code"]) == (status, code)
    assert message in facts["message"] and message in err


def test_an_error_that_was_dealt_with_does_not_count(capsys):
    error = ValueError("another")
    error.__context__, error.__suppress_context__ = UserInputError("old"), True
    _, err = said(capsys, raising(error), 1)
    assert "ValueError: another" in err


def test_errors_that_name_each_other_as_cause_end(capsys):
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    _, err = said(capsys, raising(one), 1)
    assert "ValueError: one" in err


def test_notes_are_told_whoever_in_the_chain_has_them(capsys):
    inner, outer = UserInputError("a is wrong."), RuntimeError("step failed")
    outer.add_note("What was reached: runs/1/summary.json")
    _, err = said(capsys, raising(caused(outer, inner)), 2)
    assert err.splitlines() == ["a is wrong.", "What was reached: runs/1/summary.json"]
    fault = ValueError("x")
    fault.add_note("What was reached: runs/2/summary.json")
    _, err = said(capsys, raising(fault), 1)
    assert err.splitlines()[1:] == ["What was reached: runs/2/summary.json"]


def test_the_traceback_is_for_those_who_ask_and_never_for_the_users_own_mistakes(capsys):
    out, err = said(capsys, raising(ValueError("x")), 1, as_json=True, debug=True)
    assert "Traceback" in err and json.loads(out)["exit_code"] == 1
    assert "Run it again with --debug" not in json.loads(out)["message"]
    out, err = said(capsys, raising(UserInputError("x.")), 2, as_json=True, debug=True)
    assert "Traceback" not in err and json.loads(out)["message"] == "x."


def test_after_an_interrupt_the_user_is_told_how_to_go_on(capsys):
    _, err = said(capsys, raising(KeyboardInterrupt()), 130, resume="Go on: saga run x.yaml")
    assert err == "Interrupted. Go on: saga run x.yaml\n"


@pytest.mark.parametrize("facts", [{"loss": float("nan")}, {"where": Path("x")}])
def test_a_result_that_is_no_json_is_a_fault_of_ours_and_told_in_json(capsys, facts):
    out, err = said(capsys, lambda: Answer(facts, "done"), 1, as_json=True)
    assert json.loads(out)["status"] == "failed" and "the fault is ours" in err


def test_what_others_print_while_the_command_works_does_not_mix_with_the_result(capsys):
    def work() -> Answer:
        print("a library says hello")  # noqa: T201
        return Answer({}, "done")

    assert said(capsys, work, 0) == ("done\n", "a library says hello\n")


# The real descriptors ---------------------------------------------------------------------------

SCRIPT = """
import os, subprocess, sys, typer
from pipelines.answer import Answer, perform
def work():
    print("print")
    if "--closed" not in sys.argv:
        os.write(1, b"descriptor\\n")
        subprocess.run(["echo", "child"])
    return Answer({"file": os.fsdecode(b"a\\xff.png")}, "answer")
try:
    perform(work, as_json="--json" in sys.argv)
except typer.Exit as error:
    print("after")
    sys.exit(error.exit_code)
"""


def run_script(*arguments: str, **options) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", SCRIPT, *arguments]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.run(command, cwd=Path(__file__).parents[2], **options)


def test_stdout_of_child_processes_goes_to_stderr_and_comes_back_afterwards():
    done = run_script()
    assert done.stdout == b"answer\nafter\n"
    assert sorted(done.stderr.split()) == [b"child", b"descriptor", b"print"]


def test_a_file_name_that_is_no_text_does_not_break_the_object():
    done = run_script("--json")
    first = done.stdout.splitlines()[0]
    assert json.loads(first)["file"] == os.fsdecode(b"a\xff.png")


def test_a_closed_stdout_is_no_reason_to_fail():
    done = run_script("--closed", stdout=None, preexec_fn=lambda: os.close(1))
    assert done.returncode == 0 and b"answer" in done.stderr
