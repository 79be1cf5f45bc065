"""A folder of small files beside the artifacts, on a disk or in an object store."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.registry import client
from saga.files import write_text

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore


class Shelf:
    """`<artifact store>/<subject>/<model id>/`.

    A file is whole or absent: on a disk it is renamed into place, in an object store a write is one
    request.
    """

    def __init__(self, subject: str, model_id: Any, store: "BaseArtifactStore | None" = None):
        """Args: what the files are about; whose they are; a store, else the active one."""
        self._store = store or client().active_stack.artifact_store
        self.folder = os.path.join(self._store.path, subject, str(model_id))

    def names(self) -> list[str]:
        """Files, sorted; without those that a killed process left half-written."""
        if not self._store.exists(self.folder):
            return []
        return sorted(n for n in map(str, self._store.listdir(self.folder)) if n[:1] != ".")

    def sweep(self) -> None:
        """Remove what killed processes left; only while no other process writes."""
        if self._store.exists(self.folder):
            for name in map(str, self._store.listdir(self.folder)):
                if name.startswith("."):
                    self._store.remove(self.path(name))

    def read(self, name: str) -> str:
        """A file's content.

        Raises:
            OSError: if it cannot be read.
            ValueError: if it is not UTF-8.
        """
        with self._store.open(self.path(name), "rb") as file:
            return bytes(file.read()).decode()

    def write(self, name: str, text: str) -> None:
        """Write a file, whole or not at all."""
        if self._store.config.is_local:
            write_text(Path(self.path(name)), text)
            return
        self._store.makedirs(self.folder)
        with self._store.open(self.path(name), "wb") as file:
            file.write(text.encode())

    def holds(self, name: str) -> bool:
        """Whether there is such a file."""
        return bool(self._store.exists(self.path(name)))

    def path(self, name: str) -> str:
        """Where a file lies."""
        return os.path.join(self.folder, name)
