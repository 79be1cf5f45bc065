"""What stands for a container's image: folders of this machine, read-only, and who runs in them."""

import os
import re
import sys
from collections.abc import Callable
from compileall import compile_dir
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[3]
# What a command needs of an operating system; nobody's home, no project.
SYSTEM = ("bin", "etc", "lib", "lib32", "lib64", "libx32", "sbin", "usr")
USER = 10001
PACKAGES = ("saga", "steps", "pipelines", "materializers")
# As in infra/docker: ZenML goes there before a step.
APP = Path("/app")


@dataclass(frozen=True, slots=True)
class Image:
    """A file system and the defaults of its containers."""

    folders: tuple[Path, ...]
    """Folders of this machine that it holds, at the same paths, beside those of the system."""
    environment: dict[str, str]
    """Variables that it sets."""
    folder: Path
    """Where commands start."""
    code: Path | None = None
    """Folder of this machine that it shows there."""
    user: int = USER
    """User id, where the pod does not say."""
    entrypoint: tuple[str, ...] = ()
    """Command, where the container does not say."""


Images = Callable[[str], Image | None]
"""The image of a name; None where it cannot be pulled."""


def project_image() -> Image:
    """This project, compiled, and the Python that runs the tests."""
    for folder in PACKAGES:
        compile_dir(PROJECT / folder, quiet=2)
    environment, python = Path(sys.prefix), Path(sys.base_prefix)
    path = f"{environment}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return Image(
        folders=tuple(dict.fromkeys((python, PROJECT, environment))),
        environment={"PATH": path, "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"},
        folder=APP,
        code=PROJECT,
    )


def bare_image() -> Image:
    """The Python that made the tests' environment, and nothing else."""
    python = Path(sys.base_prefix)
    return Image(
        folders=(python,), environment={"PATH": f"{python}/bin:/usr/bin:/bin"}, folder=Path("/tmp")
    )


def images(*patterns: str, bare: str | None = None) -> Images:
    """The project's image under every name that a pattern fits.

    Args:
        patterns: regular expressions for whole names.
        bare: the same, for an image that has Python but not the project.
    """
    made = project_image()
    known = [(re.compile(pattern), made) for pattern in patterns]
    if bare is not None:
        known.append((re.compile(bare), bare_image()))

    def pull(name: str) -> Image | None:
        return next((image for pattern, image in known if pattern.fullmatch(name)), None)

    return pull


def system_folders() -> list[Path]:
    """Those of `SYSTEM` that are here."""
    return [Path("/", name) for name in SYSTEM if os.path.lexists(f"/{name}")]
