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

import signal
import sys
from collections.abc import Callable, Mapping

from saga.errors import RefusedError, UserInputError

MODULE = "saga.training.processes"
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


def _torchrun(arguments: list[str]) -> None:
    from torch.distributed.run import parse_args, run

    run(parse_args(arguments))


if __name__ == "__main__":
    raise SystemExit(launch(sys.argv[1:]))
