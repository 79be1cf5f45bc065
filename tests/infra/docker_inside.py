"""Commands inside an image: another user, nothing writable but /tmp, no network, no rights.

Kernel namespaces and chroot do it, so that it works inside containers too, where runtimes often do not.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# $1 root, $2 folder shown read-only as /tmp/data, $3 working directory, $4 user:group; then the command.
INSIDE = """
set -eu
root=$1 data=$2 folder=$3 user=$4; shift 4
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=0755 tmpfs "$root/dev"
for name in null zero random urandom; do
    : >"$root/dev/$name"; mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir -m 1777 "$root/dev/shm"
mkdir "$root/tmp/data"
mount --bind "$data" "$root/tmp/data"
mount -o remount,bind,ro "$root/tmp/data"
exec chroot "$root" setpriv --reuid="${user%:*}" --regid="${user#*:}" --clear-groups \\
    --no-new-privs --bounding-set=-all --inh-caps=-all -- /usr/bin/env --chdir="$folder" "$@"
"""


@dataclass(frozen=True)
class Mounted:
    """An image that is mounted."""

    root: Path
    config: Mapping[str, Any]
    """Of the image, as OCI has it: Env, User, WorkingDir, Entrypoint, Labels."""
    layers: tuple[str, ...]
    """Their digests, from the base up."""
    data: Path
    """Folder that commands see, read-only, as /tmp/data."""

    def run(
        self,
        *command: str,
        user: str | None = None,
        environment: Mapping[str, str] | None = None,
        timeout: float = 280,
    ) -> subprocess.CompletedProcess[str]:
        """What a command does and says; everything that it wrote is gone afterwards.

        Args:
            command: the program and its arguments; nothing of the image's entry point.
            user: number:number; None is the image's.
            environment: beside the image's.
            timeout: in seconds.
        """
        added = [f"{name}={value}" for name, value in (environment or {}).items()]
        return subprocess.run(
            [
                *(
                    "unshare",
                    "--mount",
                    "--pid",
                    "--fork",
                    "--kill-child",
                    "--net",
                    "--ipc",
                    "--uts",
                ),
                *("sh", "-c", INSIDE, "sh", str(self.root), str(self.data)),
                *(self.config["WorkingDir"], user or self.config["User"]),
                *("-i", *self.config["Env"], *added, *command),
            ],
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def must(self, *command: str, **options: Any) -> str:
        """What a command prints; a failure is the test's."""
        done = self.run(*command, **options)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout


@contextmanager
def mounted(image: str, data: Path) -> Iterator[Mounted]:
    """An image's root, for as long as it is needed."""
    container = _buildah("from", "--pull-never", image)
    try:
        described = json.loads(_buildah("inspect", "--type", "image", image))["OCIv1"]
        root, layers = Path(_buildah("mount", container)), tuple(described["rootfs"]["diff_ids"])
        yield Mounted(root, described["config"], layers, data)
    finally:
        _buildah("rm", container)


def _buildah(*arguments: str) -> str:
    done = subprocess.run(
        ["buildah", *arguments], check=True, capture_output=True, text=True, timeout=280
    )
    return done.stdout.strip()
