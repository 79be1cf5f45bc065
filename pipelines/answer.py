"""What a command says, where, and with which exit code.

Results go to stdout: text for people, with --json one JSON object and nothing else. Everything that
others print while the command works (libraries, ZenML, child processes) goes to stderr. Exit codes:
0 done, 1 our fault, 2 the input is wrong, 3 a gate or the validation said no, 130 interrupted.
"""

import errno
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TextIO

import typer

from saga.errors import RefusedError, SagaError, UserInputError
from saga.files import is_disk_full

OURS, INPUT, REFUSED, INTERRUPTED = 1, 2, 3, 130
STATUS = {0: "ok", OURS: "failed", INPUT: "error", REFUSED: "refused", INTERRUPTED: "interrupted"}

AGAIN = "Nothing was left half-written; run the same command again."
"""What the user is told after Ctrl-C, unless there is more to say."""

NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(frozen=True, slots=True)
class Answer:
    """A command's result."""

    facts: dict[str, Any]
    """For machines; `status` is added where it is missing."""
    text: str
    """For people."""
    exit_code: int = 0
    """REFUSED where a gate or the validation said no."""
    problem: bool = False
    """Whether the text says what went wrong, instead of what was done; it then goes to stderr."""


def perform(
    work: Callable[[], Answer],
    *,
    as_json: bool = False,
    debug: bool = False,
    resume: str = AGAIN,
) -> None:
    """Do the work and say what came of it.

    Args:
        work: the command.
        as_json: one JSON object instead of text.
        debug: with the traceback, where the fault is ours.
        resume: what the user is told after Ctrl-C.

    Raises:
        typer.Exit: with the exit code.
    """
    with _stdout_kept() as stdout:
        try:
            answer = work()
            said = _result(answer, as_json)
        except BaseException as error:
            answer = _failure(error, debug, resume)
            said = _result(answer, as_json)
        if answer.problem:
            typer.echo(answer.text, err=True)
        if said is not None:
            typer.echo(said, file=stdout)
            stdout.flush()
    raise typer.Exit(answer.exit_code)


def _result(answer: Answer, as_json: bool) -> str | None:
    """What goes to stdout; nothing where a problem is told to people."""
    if as_json:
        facts = {"status": STATUS[answer.exit_code]} | answer.facts
        return json.dumps(facts, ensure_ascii=False, allow_nan=False)
    return None if answer.problem else answer.text


def _failure(error: BaseException, debug: bool, resume: str) -> Answer:
    """The answer to an exception."""
    chain = _chain(error)
    cause = _cause(chain)
    notes = [note for link in chain for note in getattr(link, "__notes__", ())]
    if isinstance(cause, KeyboardInterrupt):
        return _problem(INTERRUPTED, f"Interrupted. {resume}")
    if isinstance(cause, SagaError) and cause.exit_code in (INPUT, REFUSED):
        return _problem(cause.exit_code, "\n".join([str(cause), *notes]))
    if is_disk_full(cause):
        return _problem(INPUT, f"No space left on the disk ({cause}). Free some. {resume}")
    if isinstance(cause, OSError) and cause.errno in NOT_ALLOWED:
        return _problem(INPUT, f"{cause}. Give a place that you may read or write.")
    if debug:
        typer.echo("".join(traceback.format_exception(error)), err=True)
    hint = "" if debug else " Run it again with --debug for the traceback."
    lines = str(cause).strip().splitlines()
    fault = f"{type(cause).__name__}{': ' + lines[0].rstrip('.') if lines else ''}"
    return _problem(
        OURS, "\n".join([f"saga failed, and the fault is ours: {fault}.{hint}", *notes])
    )


def _problem(exit_code: int, message: str) -> Answer:
    return Answer({"exit_code": exit_code, "message": message}, message, exit_code, problem=True)


def usage_problem(message: str) -> str:
    """The JSON object for arguments that the command line itself refuses."""
    return json.dumps({"status": STATUS[INPUT], "exit_code": INPUT, "message": message})


def _chain(error: BaseException) -> list[BaseException]:
    """An error and those that it came from."""
    seen: BaseException | None = error
    chain: list[BaseException] = []
    while seen is not None and seen not in chain:
        chain.append(seen)
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return chain


def _cause(chain: list[BaseException]) -> BaseException:
    """The error of ours, or the interrupt, that others may have wrapped; else the error itself."""
    for kinds in (KeyboardInterrupt, (UserInputError, RefusedError), SagaError):
        for link in chain:
            if isinstance(link, kinds):
                return link
    return next(filter(is_disk_full, chain), chain[0])


@contextmanager
def _stdout_kept() -> Iterator[TextIO]:
    """The real stdout, while everyone else's goes to stderr, child processes included."""
    stdout = sys.stdout
    if not _is_descriptor(stdout, 1) or not _is_descriptor(sys.stderr, 2):
        sys.stdout = sys.stderr
        try:
            yield stdout or sys.stderr  # none where it was closed
        finally:
            sys.stdout = stdout
        return
    stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    # File names that are not UTF-8 are written as escapes, which JSON has too.
    with os.fdopen(os.dup(kept), "w", encoding="utf-8", errors="backslashreplace") as real:
        sys.stdout = sys.stderr
        try:
            yield real
        finally:
            sys.stdout = stdout
            os.dup2(kept, 1)
            os.close(kept)


def _is_descriptor(stream: Any, number: int) -> bool:
    try:
        return bool(stream.fileno() == number)
    except (AttributeError, OSError, ValueError):
        return False
