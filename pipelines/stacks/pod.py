"""What a step's pod does before and after the step: its hooks and its exit code.

Progress goes to the pod's log, a line now and then. Wrong input and refusals end the pod with their own
exit codes, so that Kubernetes does not try them again. An image that holds other code than the run was
submitted with is refused: the digests that the run records would not be those of the code that ran.
"""

import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from pipelines.answer import INPUT
from pipelines.stacks.crashes import GIVEN_UP, code_of_crash
from pipelines.stacks.pools import CODE

KEEP_SECONDS = 30 * 24 * 3600
"""How long checkpoints lie untouched before they go; longer than any run may last."""

CRASHES = "crashes"
"""Folder below saga's own with a count for each step that crashed."""

_open = ExitStack()
"""What stays open until the pod ends."""


class OtherCodeError(SystemExit):
    """The image holds other code; ends the pod with the code for wrong input."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = INPUT


def begin() -> None:
    """Hook of every step.

    Raises:
        OtherCodeError: if the image holds other code than the run was submitted with.
    """
    from pipelines.home import home, quiet
    from pipelines.progress import shown

    sys.excepthook = ends
    try:
        check_code()
    except OtherCodeError as error:
        sys.stderr.write(f"OtherCodeError: {error}\n")  # an exit with a number says nothing
        raise
    quiet()
    _open.enter_context(shown(sys.stdout))
    for folder in ("checkpoints", CRASHES):
        sweep(home() / folder)


def check_code() -> None:
    """Compare this image's code with what the run was submitted with.

    Raises:
        OtherCodeError: if it is other code.
    """
    wanted = os.environ.get(CODE)
    if not wanted:
        return
    from pipelines.provenance import code_digest

    ours = code_digest()
    if wanted != ours:
        raise OtherCodeError(
            f"The image holds other code ({ours[:12]}) than the command that submitted the run "
            f"({wanted[:12]}). Build the image from the same commit, or submit with the version of "
            "saga that the image holds."
        )


def sweep(folder: Path, now: float | None = None) -> None:
    """Delete what nobody has touched for long: of runs that were given up.

    Args:
        folder: of all checkpoints, or of all counts of crashes.
        now: the time, in seconds; None is the clock's.
    """
    from pipelines.checkpoints import discard

    oldest = (time.time() if now is None else now) - KEEP_SECONDS
    for path in folder.glob("*"):
        if path.stat().st_mtime < oldest:
            if path.is_dir():
                discard(path)
            elif path.suffix != ".lock":  # a lock goes with its folder
                path.unlink(missing_ok=True)


def ends(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """The end of a pod whose step failed: the traceback, then the exit code of the cause.

    Raises:
        SystemExit: with that code.
    """
    from pipelines.home import home
    from saga.errors import SagaError

    sys.__excepthook__(kind, error, traceback)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, SagaError):
            raise SystemExit(cause.exit_code)
        cause = cause.__cause__ or cause.__context__
    code = code_of_crash(home() / CRASHES)
    if code == GIVEN_UP:
        from pipelines.trainjobs.nodes import abandon

        abandon()
    raise SystemExit(code)
