"""What a run ran on: code, versions, memory. Recorded with every summary."""

import os
import platform
import resource
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]
PACKAGES = ("torch", "transformers", "peft", "zenml", "great-expectations", "faiss-cpu", "numpy")
UNKNOWN = "unknown"
IMAGE_COMMIT = "SAGA_COMMIT"
"""Variable that infra/docker/Dockerfile sets: a commit, or a commit and -dirty."""


@cache
def git_state() -> dict[str, Any]:
    """Commit of this project's code and whether files differ from it.

    Where git does not tell, it is what the image says of itself, as in "0a1b2c (image)"; else "unknown".
    """
    top = _git("rev-parse", "--show-toplevel")
    ours = top is not None and Path(top) == PROJECT.resolve()  # not a repository around it
    commit = _git("rev-parse", "HEAD") if ours else None
    if commit is None:
        return _image_state()
    changed = _git("status", "--porcelain")
    return {"git_commit": commit, "git_dirty": None if changed is None else bool(changed)}


def environment() -> dict[str, Any]:
    """Code state and versions, as the summary's section of that name."""
    return git_state() | {"versions": versions(), "python": platform.python_version()}


def versions() -> dict[str, str]:
    """Versions of the packages that decide a result; absent ones are left out."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def hardware() -> dict[str, Any]:
    """What this process runs on: system, processor, usable cores, memory, GPUs. No machine's name."""
    usable = getattr(os, "sched_getaffinity", None)
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": len(usable(0)) if usable else os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpus": _gpus(),
    }


def _processor() -> str:
    """Its model, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or UNKNOWN


def _gpus() -> list[dict[str, Any]]:
    import torch

    if not torch.cuda.is_available():
        return []
    found = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return [{"name": gpu.name, "memory_bytes": gpu.total_memory} for gpu in found]


def peak_memory_bytes() -> int:
    """Largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _image_state() -> dict[str, Any]:
    """The same, of the image that this process runs in: nobody here can check it."""
    told = os.environ.get(IMAGE_COMMIT) or UNKNOWN
    if told == UNKNOWN:
        return {"git_commit": UNKNOWN, "git_dirty": None}
    commit = told.removesuffix("-dirty")
    return {"git_commit": f"{commit} (image)", "git_dirty": commit != told}


def _git(*arguments: str) -> str | None:
    """What git says about this project, or None where it cannot."""
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(PROJECT), *arguments],
            env={k: v for k, v in os.environ.items() if not k.startswith("GIT_")},
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
