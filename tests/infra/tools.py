"""Programs that come as Python packages, each in an environment of its own.

Their pins would fight with the project's.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "saga" / "tools"


def programs_of(name: str, requirement: str, program: str) -> Path:
    """The folder of a package's programs, installed if need be; the test is skipped where that fails.

    Args:
        name: of the environment.
        requirement: what pip is to install.
        program: one that it brings.
    """
    tool = CACHE / name
    tool.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{tool}.lock"):
        if not (tool / "bin" / program).exists():
            _install(tool, requirement)
    if not (tool / "bin" / program).exists():
        pytest.skip(f"{name} was installed into {tool} but has no program {program}")
    return tool / "bin"


def _install(tool: Path, requirement: str) -> None:
    uv = shutil.which("uv") or str(Path(sys.prefix) / ".uv" / "bin" / "uv")
    python = str(tool / "bin" / "python")
    make = [uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(tool)]
    fill = [uv, "pip", "install", "--quiet", "--python", python, requirement]
    try:
        for command in (make, fill):
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    except (OSError, subprocess.SubprocessError) as error:
        told = str(getattr(error, "stderr", "") or error).strip().splitlines()
        pytest.skip(f"{tool.name} could not be installed into {tool}: {told[-1]}")
