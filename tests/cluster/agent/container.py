"""One process of a pod, from start to end."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.cluster.agent.sandbox import is_maker

MADE_SECONDS = 10.0


class Process:
    """A started container."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        """Start it.

        Args:
            command: `sandbox.isolated`.
            log: what it says is added to.
        """
        with log.open("ab") as said:
            self._killed = False
            # Not in the tests' environment: what starts a container needs a path, no more.
            self._outer = subprocess.Popen(
                command,
                env={"PATH": os.environ["PATH"]},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    @property
    def ended(self) -> bool:
        """Whether it has."""
        return self._outer.poll() is not None

    def wait(self) -> int:
        """Its exit code; negative for a signal."""
        code = self._outer.wait()
        # unshare passes other signals on as its own end.
        return -signal.SIGKILL if self._killed and code == 1 else code

    def ask_to_end(self) -> None:
        """SIGTERM, to the container's first process, as soon as it is its own command."""
        latest = time.monotonic() + MADE_SECONDS
        while not self._made() and not self.ended and time.monotonic() < latest:
            time.sleep(0.02)
        with suppress(ProcessLookupError):
            for inner in self._inner():
                os.kill(inner, signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, to all of its processes."""
        self._killed = True
        with suppress(ProcessLookupError):
            inside = self._inner()
            for inner in inside:
                os.kill(inner, signal.SIGKILL)
            if not inside:
                self._outer.kill()

    def _made(self) -> bool:
        """Whether the first process is no longer what makes the container, which would not hear a signal."""
        with suppress(OSError):
            lines = [Path(f"/proc/{inner}/cmdline").read_text() for inner in self._inner()]
            return any(not is_maker(line.split("\0")) for line in lines)
        return False

    def _inner(self) -> list[int]:
        """The first process inside; `unshare` waits for it, and ends as it ended."""
        pid = self._outer.pid
        with suppress(OSError):
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
            return [int(child) for child in children.split()]
        return []
