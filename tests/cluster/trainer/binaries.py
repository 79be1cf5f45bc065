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
import tempfile
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from tests.cluster.controlplane.binaries import BUILD_SECONDS, UnavailableError, _go, cache

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
    if not folder.is_dir():
        _build_once(folder)
    return folder


def source_digest() -> str:
    """sha256 of everything that decides what is built."""
    digest = hashlib.sha256()
    for controller in BOTH:
        for name in ("go.mod", "go.sum"):
            digest.update((SOURCE / controller.name / name).read_bytes())
    return digest.hexdigest()


def _build_once(folder: Path) -> None:
    go = shutil.which("go")
    if go is None:
        raise UnavailableError(f"{PROJECTS} are not built yet: install Go")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock", timeout=BUILD_SECONDS):
        if not folder.is_dir():
            _build(go, folder)


def _build(go: str, folder: Path) -> None:
    """Build aside and rename, so that a folder that is there is whole; the log stays beside it."""
    aside = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    log = folder.with_suffix(".log")
    try:
        with log.open("w") as said:
            for controller in BOTH:
                where, target = SOURCE / controller.name, aside / controller.name
                _go(said, go, where, "-ldflags", "-s -w", "-o", target, controller.program)
                _copy_manifests(controller, _place(go, controller), aside)
        aside.chmod(0o755)
        aside.rename(folder)
    except (subprocess.SubprocessError, OSError) as error:
        lines = log.read_text().strip().splitlines() or [str(error)]
        raise UnavailableError(f"{PROJECTS} do not build: {lines[-1]} ({log})") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


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
