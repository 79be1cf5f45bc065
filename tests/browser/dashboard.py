"""ZenML's dashboard on the database of a SAGA_HOME."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from tests.e2e.command import environment

ZENML = Path(sys.executable).parent / "zenml"
SERVE = (
    "import os, sys\n"
    "from pipelines.home import use_embedded_zenml\n"
    "use_embedded_zenml()\n"
    "os.execv(sys.argv[1], sys.argv[1:])\n"
)
"""Turns into ZenML's own command, with the environment that our commands give it."""
SURVEYED = {"email_opted_in": False, "user_metadata": {"finished_onboarding_survey": True}}


@contextmanager
def served(home: Path, log: Path, seconds: float = 240) -> Iterator[str]:
    """The address of the dashboard, for as long as the block runs.

    Args:
        home: SAGA_HOME.
        log: file for what the server says.
        seconds: until it must answer.
    """
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    arguments = (ZENML, "login", "--local", "--blocking", "--port", port)
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, *map(str, arguments)],
            env=environment(SAGA_HOME=str(home)),
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + seconds
            while not answers(f"{address}/health"):
                assert process.poll() is None, f"the dashboard ended: {log.read_text()}"
                assert time.monotonic() < deadline, f"no dashboard: {log.read_text()}"
                time.sleep(0.5)
            # Whoever opens it for the first time is asked who they are, whatever they wanted to see.
            asked(f"{address}/api/v1/current-user", SURVEYED)
            yield address
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def asked(address: str, changes: Any = None) -> Any:
    """What the server says, or says after a change."""
    body = None if changes is None else json.dumps(changes).encode()
    method = "GET" if changes is None else "PUT"
    request = Request(address, body, {"Content-Type": "application/json"}, method=method)
    with urlopen(request, timeout=60) as answer:
        return json.load(answer)


def answers(address: str) -> bool:
    """Whether something is there."""
    try:
        with urlopen(address, timeout=5):
            return True
    except (URLError, OSError):
        return False


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
