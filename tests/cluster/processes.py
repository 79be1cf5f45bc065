"""Programs that tests start and that must not outlive them."""

import os
import random
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TERM_SECONDS = 5.0
# Below those that systems give to connections: one of them could take the port before its server does.
PORTS = (20000, 29999)
# A kill of the tests themselves takes the program along.
TIED = ("setpriv", "--pdeathsig", "KILL")


@dataclass
class Program:
    """A program in a process group of its own; what it says goes into a file."""

    name: str
    command: Sequence[str | Path]
    log: Path
    environment: Mapping[str, str]
    _process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        with self.log.open("ab") as said:
            self._process = subprocess.Popen(
                [*TIED, *self.command],
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,  # Ctrl-C is for the tests; they stop it
            )

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End it, by force where asking does not help."""
        if self._process is None:
            return
        for asked in (signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is None:
                os.killpg(self._process.pid, asked)
            try:
                self._process.wait(TERM_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            return

    def last_words(self, lines: int = 15) -> str:
        said = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(said[-lines:])


def free_port() -> int:
    """A port of loopback that nobody listens on now, and that no connection is given by itself."""
    while True:
        port = random.randint(*PORTS)
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
