"""An AWS account on loopback: moto's server, in an environment of its own."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.infra.tools import programs_of

VERSION = "5.2.5"
REGION = "eu-central-1"
ACCOUNT = Path(__file__).with_name("terraform_account.py")

# What moto answers with "not found": emptied in an override file.
UNKNOWN_TO_MOTO = """
resource "aws_eks_access_entry" "admin" {
  for_each = {}
}
resource "aws_eks_access_entry" "groups" {
  for_each = {}
}
resource "aws_eks_addon" "before_nodes" {
  for_each = {}
}
resource "aws_eks_addon" "after_nodes" {
  for_each = {}
}
resource "aws_eks_pod_identity_association" "store_user" {
  for_each = {}
}
resource "aws_eks_pod_identity_association" "autoscaler" {
  count = 0
}
resource "aws_eks_pod_identity_association" "volumes" {
  count = 0
}
resource "aws_eks_pod_identity_association" "cache" {
  count = 0
}
resource "aws_efs_backup_policy" "cache" {
  count = 0
}
provider "aws" {
  s3_use_path_style = true
}
"""


def installed() -> Path:
    """The folder of moto's programs, installed if need be; skips where that fails."""
    return programs_of("moto", f"moto[server]=={VERSION}", "moto_server")


@dataclass(frozen=True)
class Account:
    """An empty account, but for a network."""

    programs: Path
    address: str
    """Of the server, http."""

    @property
    def environment(self) -> dict[str, str]:
        """For clients: where the account is, and words that stand for keys."""
        return {
            "AWS_ENDPOINT_URL": self.address,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def ask(self, question: str) -> Any:
        """What the account answers to a question of `terraform_account`."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        done = subprocess.run(
            [self.programs / "python", ACCOUNT, question],
            env={**kept, **self.environment, "NO_PROXY": "127.0.0.1"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@contextmanager
def account(log: Path) -> Iterator[Account]:
    """A server of one's own, on a free port.

    Args:
        log: file for what the server says.
    """
    programs = installed()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    with log.open("w") as said:
        server = subprocess.Popen(
            [programs / "moto_server", "-H", "127.0.0.1", "-p", str(port)],
            env={**kept, "MOTO_IAM_LOAD_MANAGED_POLICIES": "true"},
            stdout=said,
            stderr=said,
        )
        try:
            _wait_for(server, port, log)
            yield Account(programs, f"http://127.0.0.1:{port}")
        finally:
            server.terminate()
            server.wait(timeout=20)


def _wait_for(server: subprocess.Popen[bytes], port: int, log: Path, seconds: float = 60) -> None:
    latest = time.monotonic() + seconds
    while time.monotonic() < latest and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"moto's server does not answer: {log.read_text()}")
