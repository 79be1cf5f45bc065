"""SHA-256 of every file of an artifact, wherever its store is."""

import hashlib
import os
from typing import TYPE_CHECKING

from pipelines.registry import store_of

if TYPE_CHECKING:
    from zenml.models import ArtifactVersionResponse

CHUNK_BYTES = 1 << 20


def stored_digests(artifact: "ArtifactVersionResponse") -> dict[str, str]:
    """By path below the artifact's folder, POSIX.

    Raises:
        OSError: if the store cannot be read, or the folder is outside it.
        UserInputError: if the store is gone, or cannot be used from here.
    """
    store = store_of(artifact)
    found = {}
    for parent, _, names in store.walk(artifact.uri):
        for name in map(str, names):
            path = os.path.join(str(parent), name)
            hasher = hashlib.sha256()
            with store.open(path, "rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    hasher.update(chunk)
            found[os.path.relpath(path, artifact.uri).replace(os.sep, "/")] = hasher.hexdigest()
    return dict(sorted(found.items()))
