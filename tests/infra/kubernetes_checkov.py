"""checkov, in an environment of its own: its pins would fight with the project's."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

VERSION = "3.3.30"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
TOOL = CACHE / "saga" / "tools" / "checkov"


def checkov() -> Path:
    """The program, installed if need be; the test is skipped where that fails."""
    program = TOOL / "bin" / "checkov"
    TOOL.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{TOOL}.lock"):
        if not program.exists():
            _install(program)
    return program


def _install(program: Path) -> None:
    uv = shutil.which("uv") or str(Path(sys.prefix) / ".uv" / "bin" / "uv")
    python = str(TOOL / "bin" / "python")
    try:
        for command in (
            [uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(TOOL)],
            [uv, "pip", "install", "--quiet", "--python", python, f"checkov=={VERSION}"],
        ):
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    except (OSError, subprocess.SubprocessError) as error:
        told = str(getattr(error, "stderr", "") or error).strip().splitlines()
        pytest.skip(f"checkov could not be installed into {TOOL}: {told[-1]}")
    if not program.exists():
        pytest.skip(f"checkov was installed into {TOOL} but has no program")


def report_on(folder: Path, skipped: tuple[str, ...] = ()) -> dict[str, Any]:
    """What it says about the Kubernetes manifests in a folder: `summary` and `results`."""
    command = [str(checkov()), "--directory", str(folder), "--framework", "kubernetes"]
    left_out = ["--skip-check", ",".join(skipped)] if skipped else []
    made = subprocess.run(
        [*command, "--skip-download", "--quiet", "--compact", "--output", "json", *left_out],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert made.returncode in (0, 1), made.stderr
    report: dict[str, Any] = json.loads(made.stdout)
    return report
