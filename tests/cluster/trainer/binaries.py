"""The controllers of Kubeflow Trainer and JobSet: built once, beside the control plane.

    folder = controllers_built()        some minutes the first time, where Go is; then at once

The folder holds both programs, their custom resources (crds/) and what they are asked by the API server
(webhooks/), all of the versions that manager/go.mod and jobset/go.mod pin.
"""

import hashlib
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.cluster.controlplane.binaries import BUILD_SECONDS, build, built_once, cache

SOURCE = Path(__file__).parent
PROJECTS = "the controllers of Kubeflow Trainer and JobSet"


@dataclass(frozen=True, slots=True)
class Controller:
    """One of the two."""

    name: str
    """Of its folder here, and of the program."""
    module: str
    """Its Go module."""
    program: str
    """The package that is built."""
    resources: str
    """Folder of its custom resources, in the module."""
    webhooks: str
    """File with its webhooks, in the module."""


MANAGER = Controller(
    name="manager",
    module="github.com/kubeflow/trainer/v2",
    program="github.com/kubeflow/trainer/v2/cmd/trainer-controller-manager",
    resources="manifests/base/crds",
    webhooks="manifests/base/webhook/manifests.yaml",
)
JOBSET = Controller(
    name="jobset",
    module="sigs.k8s.io/jobset",
    program="sigs.k8s.io/jobset",
    resources="config/components/crd/bases",
    webhooks="config/components/webhook/manifests.yaml",
)
BOTH = (JOBSET, MANAGER)


def controllers_built() -> Path:
    """The folder with both.

    Raises:
        UnavailableError: if they are not here and cannot be built.
    """
    folder = cache() / f"trainer-{source_digest()[:16]}"
    without_go = f"{PROJECTS} are not built yet: install Go"
    built_once(folder, _build, without_go, f"{PROJECTS} do not build")
    return folder


def source_digest() -> str:
    """sha256 of everything that decides what is built."""
    digest = hashlib.sha256()
    for controller in BOTH:
        for name in ("go.mod", "go.sum"):
            digest.update((SOURCE / controller.name / name).read_bytes())
    return digest.hexdigest()


def _build(go: str, log: IO[str], folder: Path) -> None:
    for controller in BOTH:
        where, target = SOURCE / controller.name, folder / controller.name
        build(log, go, where, "-ldflags", "-s -w", "-o", target, controller.program)
        _copy_manifests(controller, _place(go, controller), folder)


def _place(go: str, controller: Controller) -> Path:
    """Where the module's sources lie."""
    found = subprocess.run(
        [go, "list", "-m", "-json", controller.module],
        cwd=SOURCE / controller.name,
        env=os.environ | {"GOFLAGS": "-mod=mod", "GOWORK": "off"},
        capture_output=True,
        text=True,
        check=True,
        timeout=BUILD_SECONDS,
    )
    return Path(json.loads(found.stdout)["Dir"])


def _copy_manifests(controller: Controller, module: Path, folder: Path) -> None:
    for kind in ("crds", "webhooks"):
        (folder / kind).mkdir(exist_ok=True)
    for path in (module / controller.resources).glob("*_*.yaml"):
        shutil.copyfile(path, folder / "crds" / path.name)
    shutil.copyfile(module / controller.webhooks, folder / "webhooks" / f"{controller.name}.yaml")
