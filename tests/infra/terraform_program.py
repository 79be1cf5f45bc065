"""terraform and its aws provider: found where a machine has them, never fetched."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

MODULE = Path(__file__).parents[2] / "infra" / "terraform" / "aws"
PROVIDER = "5.100.0"
ARCHITECTURES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64"}


def terraform() -> str:
    """The program; skips where there is none."""
    found = shutil.which("terraform")
    if found is None:
        pytest.skip("terraform is not here, so infra/terraform is not tested: install it (>= 1.9)")
    return found


def provider_folder() -> Path:
    """A folder that holds the provider in a layout of terraform's; skips where there is none."""
    folders = list(dict.fromkeys(_folders()))
    found = next(filter(_holds_provider, folders), None)
    if found is None:
        pytest.skip(
            f"terraform's aws provider {PROVIDER} is not here, so infra/terraform is not tested. "
            "To have it: terraform -chdir=infra/terraform/aws providers mirror ~/.terraform.d/plugins. "
            f"Looked in: {', '.join(map(str, folders))}"
        )
    return found


def _folders() -> Iterator[Path]:
    """Where TF_CLI_CONFIG_FILE says, then where terraform looks by itself, then in add-on software."""
    home = Path.home()
    for configuration in (os.environ.get("TF_CLI_CONFIG_FILE"), home / ".terraformrc"):
        if configuration and Path(configuration).is_file():
            written = Path(configuration).read_text()
            for path in re.findall(r'^\s*(?:path|plugin_cache_dir)\s*=\s*"(.+)"', written, re.M):
                yield Path(os.path.expandvars(path)).expanduser()
    if cache := os.environ.get("TF_PLUGIN_CACHE_DIR"):
        yield Path(cache)
    yield home / ".terraform.d" / "plugins"
    yield home / ".terraform.d" / "plugin-cache"
    shared = os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
    for folder in (home / ".local" / "share", *map(Path, shared.split(":"))):
        yield folder / "terraform" / "plugins"
    yield from sorted(Path("/opt").glob("*"))


def _holds_provider(folder: Path) -> bool:
    return any(next(folder.glob(layout), None) for layout in layouts())


def layouts() -> tuple[str, str]:
    """How a folder holds the provider of this machine: unpacked, or packed."""
    machine = ARCHITECTURES.get(platform.machine(), platform.machine())
    target = f"{platform.system().lower()}_{machine}"
    return (
        f"*/hashicorp/aws/{PROVIDER}/{target}/terraform-provider-aws*",
        f"*/hashicorp/aws/terraform-provider-aws_{PROVIDER}_{target}.zip",
    )


@dataclass(frozen=True)
class Copy:
    """A copy of the module that terraform may write into."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    """Beside the shell's, of which terraform's and AWS's own are left out."""

    def run(self, *arguments: str, timeout: float = 280) -> subprocess.CompletedProcess[str]:
        """What terraform does and says.

        Args:
            arguments: the command and its options.
            timeout: in seconds.
        """
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("TF_", "AWS_"))}
        quiet = {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1", "NO_PROXY": "127.0.0.1"}
        return subprocess.run(
            [terraform(), *arguments],
            cwd=self.folder,
            env={**kept, **quiet, **self.environment},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def must(self, *arguments: str, timeout: float = 280) -> str:
        """What terraform prints; a failure is the test's."""
        done = self.run(*arguments, timeout=timeout)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout


def copied(folder: Path, environment: Mapping[str, str] | None = None) -> Copy:
    """Copy the module and install the provider into the copy."""
    left_out = shutil.ignore_patterns(".terraform*", "*.tfstate*", "*.tfvars")
    shutil.copytree(MODULE, folder, ignore=left_out, dirs_exist_ok=True)
    copy = Copy(folder, environment or {})
    copy.must("init", "-input=false", "-no-color", f"-plugin-dir={provider_folder()}")
    return copy
