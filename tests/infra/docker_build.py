"""The image, built by buildah on a base made here: no registry, and uv's own cache of packages.

An image that was built from the same files is taken as it is. Where only code changed, buildah's layers leave
the packages alone.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from saga.files import digest_of, sha256_file
from tests.infra.docker_file import DOCKERFILE, IGNORED, PROJECT

BASE = "localhost/saga-test-base:bookworm"
IMAGE = "localhost/saga-test"
LABEL = "saga.test.built-from"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SOURCES = ("saga", "steps", "pipelines", "materializers", "configs")
FILES = ("pyproject.toml", "requirements.lock", ".ci/uv.lock")
SPACE = 25
"""GB that a build takes at most: a layer of 7 GB lies there three times while buildah writes it."""


def require_tools() -> None:
    """Skip where the image cannot be built."""
    lacking = [name for name in ("buildah", "unshare", "setpriv") if shutil.which(name) is None]
    if lacking:
        pytest.skip(
            f"the image is not built: no {', '.join(lacking)} here "
            "(Debian: apt install buildah crun debootstrap util-linux)"
        )
    if os.getuid() != 0:
        pytest.skip(
            "the image is not built: its base is made and its root is mounted by root alone"
        )


def built(target: str, commit: str) -> str:
    """Name of the image, built unless it is there already.

    Args:
        target: of the Dockerfile.
        commit: that it is to say it was built from.
    """
    image = f"{IMAGE}:{target}"
    digest = built_from(base(), commit)
    if label(image, LABEL) != digest:
        build(image, target, commit, digest)
    return image


def built_from(base_id: str, commit: str) -> str:
    """Digest of all that decides what the image holds."""
    sources = [p for name in SOURCES for p in (PROJECT / name).rglob("*") if p.is_file()]
    wanted = [p for p in sources if p.suffix != ".pyc"]
    named = [PROJECT / name for name in FILES] + [DOCKERFILE, IGNORED]
    files = {str(p.relative_to(PROJECT)): sha256_file(p) for p in sorted(wanted + named)}
    return digest_of(files | {"base": base_id, "commit": commit})


def label(image: str, name: str) -> str | None:
    """A label of an image; None without the label, or without the image."""
    form = f'{{{{index .OCIv1.Config.Labels "{name}"}}}}'
    found = _run("buildah", "inspect", "--type", "image", "--format", form, image, check=False)
    return found.stdout.strip() or None if found.returncode == 0 else None


def base() -> str:
    """Id of the image that stands for BASE_IMAGE, made unless it is there."""
    if _id(BASE) is None:
        _make_base()
    made = _id(BASE)
    assert made is not None
    return made


def _id(image: str) -> str | None:
    found = _run("buildah", "images", "--quiet", "--no-trunc", image, check=False)
    return found.stdout.strip() if found.returncode == 0 else None


def _make_base() -> None:
    """Debian's minimum with its Python 3.11."""
    if shutil.which("debootstrap") is None:
        pytest.skip("the image is not built: no debootstrap here to make its base")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        packages = "--include=python3.11-venv,python3-distutils,ca-certificates"
        command = ("debootstrap", "--variant=minbase", packages, "bookworm", str(root))
        made = _run(*command, check=False)
        if made.returncode != 0:
            pytest.skip(f"the image is not built: debootstrap: {made.stdout.splitlines()[-1:]}")
        for left in [
            *root.glob("var/cache/apt/archives/*.deb"),
            *root.glob("var/lib/apt/lists/*_*"),
        ]:
            left.unlink()
        container = _run("buildah", "from", "scratch").stdout.strip()
        _run("buildah", "add", "--quiet", container, str(root), "/")
        _run("buildah", "config", "--env", f"PATH={PATH}", container)
        _run("buildah", "commit", "--quiet", "--rm", container, BASE)


def build(image: str, target: str, commit: str, digest: str) -> None:
    """Build a target, offline but for the wheel of uv; layers that are there are used again."""
    _require_space()
    with tempfile.TemporaryDirectory() as folder:
        _fetch_uv(Path(folder))
        arguments = {
            "BASE_IMAGE": BASE,
            "COMMIT": commit,
            "PIP_FIND_LINKS": "/wheels",
            "PIP_NO_INDEX": "1",
            "UV_CACHE_DIR": "/uv-cache",
            "UV_OFFLINE": "1",
        }
        given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        mounts = [f"--volume={folder}:/wheels:ro", f"--volume={_cache()}:/uv-cache"]
        done = _run(
            *("buildah", "bud", "--isolation=chroot", "--network=host", "--pull-never", "--layers"),
            *(
                f"--file={DOCKERFILE}",
                f"--ignorefile={IGNORED}",
                f"--target={target}",
                f"--tag={image}",
            ),
            *given,
            *mounts,
            f"--label={LABEL}={digest}",
            str(PROJECT),
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"


def _require_space() -> None:
    root = _run("buildah", "info", "--format", "{{.store.GraphRoot}}").stdout.strip()
    free = min(shutil.disk_usage(place).free for place in (root, "/var/tmp")) // 10**9
    if free < SPACE:
        pytest.skip(f"the image is not built: it takes {SPACE} GB, and {root} has {free} GB left")


def _fetch_uv(folder: Path) -> None:
    """The wheel of uv that the lock names: the one package that pip installs in the build."""
    python = next(p for p in (_own_uv() / "python", Path(sys.executable)) if p.exists())
    download = (str(python), "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes")
    lock = str(PROJECT / ".ci" / "uv.lock")
    made = _run(*download, "--requirement", lock, "--dest", str(folder), check=False)
    if made.returncode != 0:
        pytest.skip(f"the image is not built: uv could not be fetched: {made.stderr[-300:]}")


def _cache() -> str:
    """Where uv keeps packages: those of the project's own environment."""
    uv = shutil.which("uv") or str(_own_uv() / "uv")
    return _run(uv, "cache", "dir").stdout.strip()


def _own_uv() -> Path:
    return Path(sys.prefix) / ".uv" / "bin"


def _run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=check, capture_output=True, text=True, timeout=1700)
