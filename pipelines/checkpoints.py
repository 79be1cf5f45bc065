"""Where a training keeps its checkpoints: a folder per arm and inputs, one process at a time."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock, Timeout

from pipelines.home import IN_POD, home
from saga.errors import UserInputError
from saga.files import digest_of
from saga.training.arm import ArmConfig

POD_WAITS = 120
"""Seconds: a node that is gone may hold the lock on a shared volume for a while."""


def checkpoint_folder(
    arm: ArmConfig, manifest_digest: str, pairs_digest: str, bound: Mapping[str, str]
) -> Path:
    """The folder of one training; anything that would change its result gives another."""
    key = {"arm": asdict(arm), "manifest": manifest_digest, "pairs": pairs_digest} | dict(bound)
    return home() / "checkpoints" / f"{arm.name}-{digest_of(key)[:16]}"


@contextmanager
def locked_folder(
    arm: ArmConfig, manifest_digest: str, pairs_digest: str, bound: Mapping[str, str]
) -> Iterator[Path]:
    """The folder, for as long as the block runs.

    Raises:
        UserInputError: if another process trains the very same arm.
    """
    folder = checkpoint_folder(arm, manifest_digest, pairs_digest, bound)
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{folder}.lock", timeout=POD_WAITS if os.environ.get(IN_POD) else 0)
    try:
        lock.acquire()
    except Timeout as error:
        raise UserInputError(
            f"Another process is training the arm {arm.name} with the same settings and data. Wait "
            "for it to end (its result will be reused), or change a setting such as training.seed."
        ) from error
    try:
        yield folder
    finally:
        lock.release()


def discard(folder: Path) -> None:
    """Delete the checkpoints of a training whose result is stored."""
    shutil.rmtree(folder, ignore_errors=True)
    Path(f"{folder}.lock").unlink(missing_ok=True)
