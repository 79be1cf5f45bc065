"""The objects of infra/kubernetes as kustomize makes them."""

import functools
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "infra" / "kubernetes"
OVERLAYS = ("small", "aws", "kind", "kueue", "trainer")
BUILDS = ("base", "platform", *(f"overlays/{name}" for name in OVERLAYS))
RUNS = tuple(name for name in BUILDS if name != "platform")

Manifest = dict[str, Any]


def kubectl() -> str:
    """The program; the test is skipped where it is not."""
    found = shutil.which("kubectl")
    if found is None:
        pytest.skip("kubectl is not here: infra/kubernetes is neither rendered nor checked")
    return found


@functools.cache
def rendered(folder: Path) -> str:
    made = subprocess.run(
        [kubectl(), "kustomize", str(folder)], capture_output=True, text=True, timeout=60
    )
    assert made.returncode == 0, made.stderr
    return made.stdout


@functools.cache
def objects(name: str) -> list[Manifest]:
    """What a build of infra/kubernetes makes; shared by all tests, so copy before a change."""
    return list(yaml.safe_load_all(rendered(FOLDER / name)))


def of_kind(made: list[Manifest], kind: str) -> dict[str, Manifest]:
    return {item["metadata"]["name"]: item for item in made if item["kind"] == kind}


def title(item: Manifest) -> str:
    where = item["metadata"].get("namespace", "")
    return f"{item['kind']} {where}/{item['metadata']['name']}"


def pod_specs(value: Any) -> Iterator[Manifest]:
    """Every pod specification inside an object, whatever its kind."""
    if isinstance(value, dict):
        if isinstance(value.get("containers"), list):
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from pod_specs(part)


def container_faults(item: Manifest) -> list[str]:
    """What is wrong with the containers of an object: image, user, root file system, limits."""
    return [
        f"{title(item)}: {container['name']}: {fault}"
        for pod in pod_specs(item)
        for container in (*pod.get("initContainers", ()), *pod["containers"])
        for fault in _faults(pod.get("securityContext", {}), container)
    ]


def _faults(of_pod: Manifest, container: Manifest) -> Iterator[str]:
    context = {**of_pod, **container.get("securityContext", {})}
    if not pinned(container.get("image", "")):
        yield "its image is not pinned"
    if not context.get("runAsNonRoot"):
        yield "it may run as root"
    if not context.get("readOnlyRootFilesystem"):
        yield "its root file system is writable"
    if context.get("allowPrivilegeEscalation", True):
        yield "it may gain privileges"
    if context.get("capabilities", {}).get("drop") != ["ALL"]:
        yield "it keeps capabilities"
    if "memory" not in container.get("resources", {}).get("limits", {}):
        yield "it has no memory limit"


def pinned(image: str) -> bool:
    """Whether an image is named by a digest or by a tag that is a version."""
    if "@sha256:" in image:
        return True
    tag = image.rpartition("/")[2].partition(":")[2]
    return any(character.isdigit() for character in tag)


UNITS = {"": 1, "m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def quantity(text: str) -> float:
    """The number that a quantity of Kubernetes means: `500m`, `4Gi`."""
    number = text.rstrip("KMGTim")
    return float(number) * UNITS[text[len(number) :]]
