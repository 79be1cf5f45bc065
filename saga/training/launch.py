"""One machine's processes of a training that several machines share.

    python -m saga.training.launch FOLDER

is what a machine runs: torchrun with what its environment says (PET_NNODES, PET_NODE_RANK,
PET_NPROC_PER_NODE, PET_MASTER_ADDR, PET_MASTER_PORT, as Kubeflow Trainer sets them), and
saga.training.processes in each process. torchrun ends with 1 whatever happened; whoever restarts machines
has to know more, so this ends with

    0      trained
    2, 3   wrong input or a refusal, which no restart cures (saga.errors)
    143    told to end (SIGTERM), this machine or another one: a checkpoint was written
    1      anything else
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

from saga.errors import RefusedError, UserInputError

LAUNCH, MODULE = "saga.training.launch", "saga.training.processes"
TOLD = 128 + signal.SIGTERM
FINAL = (UserInputError.exit_code, RefusedError.exit_code)


def launch(arguments: list[str], start: Callable[[list[str]], None] | None = None) -> int:
    """Run this machine's processes to their end.

    Args:
        arguments: of torchrun, then the folder.
        start: takes them; torchrun by default.

    Returns:
        The exit code.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    *options, folder = arguments
    try:
        (start or _torchrun)([*options, "-m", MODULE, folder])
    except SignalException:
        return TOLD
    except ChildFailedError as error:
        sys.stderr.write(f"{error}\n")
        return exit_code({rank: failure.exitcode for rank, failure in error.failures.items()})
    return 0


def exit_code(codes: Mapping[int, int]) -> int:
    """The machine's exit code.

    Args:
        codes: of the processes that failed, by rank; negative for a signal.
    """
    for wanted, answer in ((FINAL, min), ((TOLD, -signal.SIGTERM), lambda _: TOLD)):
        found = [code for code in codes.values() if code in wanted]
        if found:
            return int(answer(found))
    return 1


def as_first_process(command: Sequence[str]) -> int:
    """Run a command as the child of a container's first process.

    The kernel keeps signals from a first process that has no handler for them, and torchrun has none while
    machines wait for each other. A child just ends.

    Nothing heavy is imported before: a signal that comes then would be lost.

    Args:
        command: the program and its arguments.

    Returns:
        Its exit code; 128 and the signal's number where a signal ended it.
    """
    child = subprocess.Popen(command)
    before = signal.signal(signal.SIGTERM, lambda number, frame: child.send_signal(number))
    try:
        code = child.wait()
    finally:
        signal.signal(signal.SIGTERM, before)
    return 128 - code if code < 0 else code


def _torchrun(arguments: list[str]) -> None:
    from torch.distributed.run import parse_args, run

    run(parse_args(arguments))


if __name__ == "__main__":
    if os.getpid() == 1:
        raise SystemExit(as_first_process([sys.executable, "-m", LAUNCH, *sys.argv[1:]]))
    raise SystemExit(launch(sys.argv[1:]))
