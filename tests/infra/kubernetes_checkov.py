"""checkov, in an environment of its own: its pins would fight with the project's."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.infra.tools import programs_of

VERSION = "3.3.30"


def checkov() -> Path:
    """The program, installed if need be; the test is skipped where that fails."""
    return programs_of("checkov", f"checkov=={VERSION}", "checkov") / "checkov"


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
