"""How often a step has crashed, so that pods that were taken away do not use up its retries.

ZenML counts every pod of a step as a try and refuses the one too many, so its limit, which is the Job's
too, has room for both. Crashes are counted here: one more than `jobs.retries`, and the pod ends with a
code after which Kubernetes makes no other.
"""

import os
import sys
from pathlib import Path

from pipelines.answer import OURS

RETRIES = "SAGA_STEP_RETRIES"
"""Environment variable of a step's pods: how often it may crash and be tried again."""
GIVEN_UP = 4
"""Exit code of the last crash; beside those of pipelines.answer."""


def code_of_crash(folder: Path) -> int:
    """Count a crash of this pod's Job; the exit code that says whether to try again.

    Args:
        folder: shared by all pods.
    """
    retries = os.environ.get(RETRIES)
    if retries is None:
        return OURS
    crashes = _count(folder / job_of(os.environ["HOSTNAME"]))
    if crashes <= int(retries):
        return OURS
    sys.stderr.write(f"crash {crashes} of this step; jobs.retries is {retries}: not tried again\n")
    return GIVEN_UP


def job_of(pod: str) -> str:
    """The Job's name in the name of one of its pods."""
    return pod.rpartition("-")[0] or pod


def _count(path: Path) -> int:
    """One more, on disk; how many there are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as crashes:
        crashes.write(b"\n")
        return crashes.tell()
