"""Which accelerators of a node are taken."""

import threading


class Devices:
    """Indices from 0; taken and given back by several threads."""

    def __init__(self, count: int) -> None:
        self._free = set(range(count))
        self._lock = threading.Lock()

    def take(self, count: int) -> list[int] | None:
        """The lowest free ones; None where there are not enough."""
        with self._lock:
            if count > len(self._free):
                return None
            taken = sorted(self._free)[:count]
            self._free.difference_update(taken)
            return taken

    def give_back(self, taken: list[int]) -> None:
        """Those of a pod that ended."""
        with self._lock:
            self._free.update(taken)
