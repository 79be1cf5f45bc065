"""Digests of what decides a result beside data and settings: code, supervisor, prompt."""

from functools import cache
from pathlib import Path

from saga.files import digest_of, sha256_file
from saga.supervisors.configuration import SupervisorConfig
from saga.supervisors.prompts import load_prompt
from saga.supervisors.source import supervisor_digest


def bound_digests(supervisor: SupervisorConfig) -> dict[str, str]:
    """What a step's reuse and an encoder's provenance are bound to."""
    return {
        "code": code_digest(),
        "supervisor_files": supervisor_digest(supervisor),
        "prompt": load_prompt(supervisor.prompt).digest,
    }


@cache
def code_digest(folders: tuple[str, ...] = ("saga", "steps")) -> str:
    """Of every module of the library and the steps: ZenML's cache key knows a step's body alone.

    Args:
        folders: of the project, whose modules count.
    """
    root = Path(__file__).parents[1]
    modules = sorted(path for name in folders for path in (root / name).rglob("*.py"))
    return digest_of({path.relative_to(root).as_posix(): sha256_file(path) for path in modules})
