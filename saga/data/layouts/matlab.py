"""Reads .mat files in a process of its own.

scipy parses them with native code that recurses as deep as the file says: 2 MB of nested cells
overflow the stack and take the process down, and a megabyte can decompress to a thousand. So the
parser runs apart, with bounded memory and time, and only plain JSON comes back.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from saga.errors import UserInputError

MAX_BYTES = 64 << 20
MAX_SECONDS = 120
READER = Path(__file__).with_name("matlab_reader.py")


Wanted = Mapping[str, Sequence[str] | None]
"""Variables to read; for a structure array its fields, for a cell array None."""


def read_mats(files: Sequence[tuple[Path, Wanted]]) -> list[dict[str, list[Any]]]:
    """Variables of some .mat files as plain values.

    Args:
        files: each with what to read from it.

    Returns:
        for each file, by variable: a list of records (lists in the order of the fields), or a list
        of texts.

    Raises:
        UserInputError: if a file cannot be read or lacks one of its variables.
    """
    for path, _ in files:
        if path.stat().st_size > MAX_BYTES:
            raise _unreadable(path, f"it is larger than {MAX_BYTES:,} bytes")
    answers, failure = _run([(str(path), wanted) for path, wanted in files])
    if failure is not None:
        raise _unreadable(files[len(answers)][0], failure)
    for (path, wanted), found in zip(files, answers, strict=True):
        missing = [name for name in wanted if name not in found]
        if missing:
            raise _unreadable(path, f"it has no variable {', '.join(missing)}")
    return answers


def _run(files: list[tuple[str, Wanted]]) -> tuple[list[dict[str, list[Any]]], str | None]:
    """What the reader says, up to the file at which it fails, and why it does."""
    # -P: nothing in the folder where the command runs can pass for a library.
    command = [sys.executable, "-P", str(READER), json.dumps(files, default=list)]
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            timeout=MAX_SECONDS,
            env=os.environ | threads,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [], f"reading takes longer than {MAX_SECONDS} s"
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode == 0:
        return answers, None
    said = done.stderr.decode(errors="replace").strip().splitlines()
    reason = said[-1][:200] if done.returncode > 0 and said else "the parser broke down"
    return answers, reason


def _unreadable(path: Path, reason: str) -> UserInputError:
    return UserInputError(
        f"{path} cannot be read as a MATLAB file of this dataset: {reason}. Get it again from "
        "where the dataset comes from."
    )
