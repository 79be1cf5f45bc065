"""A container: a process with its own file system, process numbers and host name, as its pod's user.

The file system is built of mounts that nobody else sees: what the image holds read-only, then the volumes.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.agent.environment import ConfigError
from tests.cluster.agent.images import Image, system_folders
from tests.cluster.agent.volumes import Mount
from tests.cluster.api import Object
from tests.cluster.processes import TIED

SHARED_MEMORY = "64m"
FIRST_LINE = "set -e  # makes a container"
MAKERS = ("unshare", "chroot", "setpriv", "env")
ISOLATED = ("unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child")


@dataclass(frozen=True, slots=True)
class Security:
    """Who a container is."""

    user: int
    """User id."""
    group: int
    """Group id."""
    groups: tuple[int, ...]
    """Further groups."""
    read_only_root: bool
    """Whether only its volumes can be written."""
    no_new_privileges: bool
    """Whether programs with the set-user-id bit are without effect."""


@dataclass(frozen=True, slots=True)
class Names:
    """Who a container is on the network."""

    host: str
    """Its own name."""
    file: Path
    """What it sees as /etc/hosts."""


def security(pod: Object, container: Object, image: Image) -> Security:
    """What pod and container ask for; the image's user where they don't.

    Raises:
        ConfigError: if it must not be root, and would be.
    """
    whole, own = pod["spec"].get("securityContext", {}), container.get("securityContext", {})
    given = {**whole, **own}
    user = int(given.get("runAsUser", image.user))
    if given.get("runAsNonRoot") and user == 0:
        raise ConfigError("container has runAsNonRoot and image will run as root")
    groups = [whole[key] for key in ("fsGroup",) if key in whole]
    return Security(
        user=user,
        group=int(given.get("runAsGroup", user)),
        groups=(*groups, *whole.get("supplementalGroups", [])),
        read_only_root=bool(given.get("readOnlyRootFilesystem")),
        no_new_privileges=given.get("allowPrivilegeEscalation") is False,
    )


def command(pod: Object, container: Object, image: Image) -> list[str]:
    """What a container runs.

    Raises:
        ConfigError: if neither it nor the image says.
    """
    found = [*container.get("command", image.entrypoint), *container.get("args", [])]
    if not found:
        raise ConfigError(
            f"no command specified for {container['name']} of {pod['metadata']['name']}"
        )
    return found


def isolated(
    root: Path,
    names: Names,
    image: Image,
    mounts: Sequence[Mount],
    rights: Security,
    started: Sequence[str],
) -> list[str]:
    """The command that makes the file system and becomes a container.

    Args:
        root: an empty folder.
        names: its own and those it knows.
        image: what it runs in.
        mounts: its volumes.
        rights: who it is.
        started: its command, with the environment before it (`env -i …`).
    """
    lines = [
        FIRST_LINE,
        "mount --make-rprivate /",
        *_root(root, image, mounts),
        f"mount -o bind,ro {_q(names.file)} {_q(root / 'etc' / 'hosts')}",
        *([f"mount -o remount,ro {_q(root)}"] if rights.read_only_root else []),
        f"hostname {_q(names.host)}",
        f"exec chroot {_q(root)} {shlex.join([*_becoming(rights), *started])}",
    ]
    return [*TIED, *ISOLATED, "sh", "-c", "\n".join(lines)]


def is_maker(words: Sequence[str]) -> bool:
    """Whether a process's command line is still one of those by which `isolated` makes a container."""
    return words[0] in MAKERS or any(word.startswith(FIRST_LINE) for word in words[:3])


def with_environment(
    image: Image, container: Object, variables: Mapping[str, str], started: Sequence[str]
) -> list[str]:
    """A command in its folder, with these variables and no others."""
    folder = container.get("workingDir") or str(image.folder)
    given = [f"{name}={value}" for name, value in variables.items()]
    return ["env", "-i", f"--chdir={folder}", *given, *started]


def _root(root: Path, image: Image, mounts: Sequence[Mount]) -> Iterator[str]:
    yield f"mount -t tmpfs -o mode=755 tmpfs {_q(root)}"
    for folder in system_folders():
        yield from _system(root, folder)
    yield f"cd {_q(root)}; mkdir proc sys dev run var; ln -s ../run var/run"
    yield "mkdir -m 1777 tmp var/tmp; mount -t proc proc proc"
    yield "mount --rbind /sys sys; mount --rbind /dev dev"
    yield f"mount -t tmpfs -o mode=1777,size={SHARED_MEMORY} tmpfs dev/shm"
    held = [Mount(folder, folder, read_only=True) for folder in image.folders]
    if image.code is not None:
        held.append(Mount(image.code, image.folder, read_only=True))
    for mount in sorted([*held, *mounts], key=lambda mount: mount.target):
        yield from _mounted(root, mount)


def _system(root: Path, folder: Path) -> Iterator[str]:
    if folder.is_symlink():
        yield f"ln -s {_q(folder.readlink())} {_q(_below(root, folder))}"
    else:
        yield from _mounted(root, Mount(folder, folder, read_only=True))


def _mounted(root: Path, mount: Mount) -> Iterator[str]:
    target = _below(root, mount.target)
    if mount.source.is_dir():
        yield f"mkdir -p {_q(target)}"
    else:
        yield f"mkdir -p {_q(target.parent)}; touch {_q(target)}"
    yield f"mount -o bind{',ro' if mount.read_only else ''} {_q(mount.source)} {_q(target)}"


def _becoming(rights: Security) -> list[str]:
    groups = [f"--groups={','.join(map(str, rights.groups))}"] if rights.groups else []
    return [
        "setpriv",
        f"--reuid={rights.user}",
        f"--regid={rights.group}",
        *(groups or ["--clear-groups"]),
        *(["--no-new-privs"] if rights.no_new_privileges else []),
        "--pdeathsig=KILL",
    ]


def _below(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def _q(path: Path | str) -> str:
    return shlex.quote(str(path))
