"""etcd and the control plane's servers: found, or built once into a cache folder of the user's.

    folder = control_plane_binaries()       minutes the first time, where Go is; then at once

In $KUBEBUILDER_ASSETS if that is set (the convention of envtest); else built from the pinned modules of
this folder into $XDG_CACHE_HOME/saga/control-plane, under a digest of what they are built from.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from filelock import FileLock

SOURCE = Path(__file__).parent
PINNED = ("main.go", "go.mod", "go.sum", "etcd/go.mod", "etcd/go.sum")
SERVERS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
ETCD = "go.etcd.io/etcd/server/v3"
ASSETS = "KUBEBUILDER_ASSETS"
BUILD_SECONDS = 3600

Fill = Callable[[str, IO[str], Path], None]
"""Go, the log, the folder."""


class UnavailableError(Exception):
    """There is no control plane here; the message says why and what to do."""


def control_plane_binaries() -> Path:
    """The folder with etcd, kube-apiserver, kube-controller-manager and kube-scheduler.

    Raises:
        UnavailableError: if they are not here and cannot be built.
    """
    given = os.environ.get(ASSETS)
    if given:
        return _complete(Path(given))
    folder = cache() / source_digest()[:16]
    without_go = (
        f"no control plane: install Go, or set ${ASSETS} to a folder with etcd and kube-apiserver"
    )
    built_once(folder, _build, without_go, "the control plane does not build")
    return _complete(folder)


def cache() -> Path:
    """Where builds are kept, one folder each."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "saga" / "control-plane"


def source_digest() -> str:
    """sha256 of everything that decides what is built."""
    digest = hashlib.sha256()
    for name in PINNED:
        digest.update((SOURCE / name).read_bytes())
    return digest.hexdigest()


def _complete(folder: Path) -> Path:
    missing = [name for name in ("etcd", *SERVERS) if not os.access(folder / name, os.X_OK)]
    if missing:
        raise UnavailableError(f"{folder} has no {', '.join(missing)} (from ${ASSETS} or a build)")
    return folder


def _build(go: str, log: IO[str], folder: Path) -> None:
    build(log, go, SOURCE / "etcd", "-ldflags", "-s -w", "-o", folder / "etcd", ETCD)
    flags = f"-s -w {_version()}"
    build(log, go, SOURCE, "-ldflags", flags, "-o", folder / SERVERS[0], ".")
    for name in SERVERS[1:]:
        (folder / name).symlink_to(SERVERS[0])


def built_once(folder: Path, fill: Fill, without_go: str, broken: str) -> None:
    """Build a folder of programs, unless it is there: aside, then renamed, so that it is whole.

    The log of the build stays beside it.

    Args:
        folder: what is wanted.
        fill: builds into a folder that is given, with Go and a log.
        without_go: what to tell where there is no Go.
        broken: what to tell before the last words of a build that failed.

    Raises:
        UnavailableError: if there is no Go, or the build fails.
    """
    if folder.is_dir():
        return
    go = shutil.which("go")
    if go is None:
        raise UnavailableError(without_go)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock", timeout=BUILD_SECONDS):
        if not folder.is_dir():
            _build_aside(go, folder, fill, broken)


def _build_aside(go: str, folder: Path, fill: Fill, broken: str) -> None:
    aside = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    log = folder.with_suffix(".log")
    try:
        with log.open("w") as said:
            fill(go, said, aside)
        aside.chmod(0o755)
        aside.rename(folder)
    except (subprocess.SubprocessError, OSError) as error:
        lines = log.read_text().strip().splitlines() or [str(error)]
        raise UnavailableError(f"{broken}: {lines[-1]} ({log})") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def build(log: IO[str], go: str, module: Path, *arguments: str | Path) -> None:
    """`go build` in a module's folder, by its pins alone."""
    # No C compiler needed, and none of the caller's flags or workspaces.
    settings = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOWORK": "off"}
    subprocess.run(
        [go, "build", "-trimpath", *arguments],
        cwd=module,
        env=os.environ | settings,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        check=True,
        timeout=BUILD_SECONDS,
    )


def _version() -> str:
    """Linker flags that tell the servers their version; feature gates go by it."""
    for line in (SOURCE / "go.mod").read_text().splitlines():
        words = line.removeprefix("require").split()
        if words[:1] == ["k8s.io/kubernetes"]:
            version = words[1]
            break
    else:
        raise AssertionError("go.mod does not require k8s.io/kubernetes")
    major, minor, _ = version.removeprefix("v").split(".")
    facts = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return " ".join(f"-X k8s.io/component-base/version.{k}={v}" for k, v in facts.items())
