"""Stack files for tests: the bundled one with changes."""

import copy
from pathlib import Path
from typing import Any

import yaml

from pipelines.stacks.configuration import STACKS, KubernetesStack, read_stack
from saga.settings.merging import with_dotted


def bundled() -> dict[str, Any]:
    """The bundled cluster's plain values."""
    values: dict[str, Any] = yaml.safe_load((STACKS / "kubernetes.yaml").read_text())
    return values


def written(
    folder: Path, changes: dict[str, Any] | None = None, without: tuple[str, ...] = ()
) -> Path:
    """A stack file like the bundled one."""
    values = with_dotted(copy.deepcopy(bundled()), changes or {})
    for name in without:
        values.pop(name)
    path = folder / "stack.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


def stack(
    folder: Path, changes: dict[str, Any] | None = None, without: tuple[str, ...] = ()
) -> KubernetesStack:
    """A cluster like the bundled one."""
    found = read_stack(written(folder, changes, without))
    assert isinstance(found, KubernetesStack)
    return found


def shared(folder: Path, changes: dict[str, Any] | None = None) -> KubernetesStack:
    """A cluster on this machine, whose pods use the embedded database."""
    return stack(folder, changes, without=("server", "artifact_store"))
