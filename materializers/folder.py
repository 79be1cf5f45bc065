"""What the materializers share: an artifact is a folder that its own type writes and checks.

The type's `digest` is the artifact's content hash, so that a step downstream is reused whenever its
inputs are the same, whichever run made them.
"""

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from zenml.enums import ArtifactType, VisualizationType
from zenml.materializers.base_materializer import BaseMaterializer

CONTENT, PICTURES = "content", "visualizations"
CHUNK_BYTES = 1 << 20
logger = logging.getLogger("saga.materializers")


class FolderMaterializer(BaseMaterializer):
    """Base: `save(folder)`, `load(folder)` and `digest` of the type do the work."""

    SKIP_REGISTRATION: ClassVar[bool] = True
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.DATA

    def save(self, data: Any) -> None:
        """Let the type write a folder, then copy it into the artifact store."""
        with self.get_temporary_directory(delete_at_exit=True) as temporary:
            folder = Path(temporary) / CONTENT
            folder.mkdir()
            data.save(folder)
            self._upload(folder)

    def load(self, data_type: type[Any]) -> Any:
        """Fetch the folder; the type reads and checks it."""
        with self.get_temporary_directory(delete_at_exit=True) as temporary:
            folder = Path(temporary) / CONTENT
            self._download(folder)
            return data_type.load(folder)

    def compute_content_hash(self, data: Any) -> str | None:
        """The type's own digest."""
        return str(data.digest)

    def extract_metadata(self, data: Any) -> dict[str, Any]:
        """Its digest, and what the subclass adds."""
        return {"digest": str(data.digest)} | self.facts(data)

    def facts(self, data: Any) -> dict[str, Any]:
        """Plain values to show beside the artifact."""
        return {}

    def save_visualizations(self, data: Any) -> dict[str, VisualizationType]:
        """Write each picture; one that fails is left out with a warning, the artifact stands."""
        found: dict[str, VisualizationType] = {}
        for name, (draw, kind) in self.pictures(data).items():
            try:
                content = draw()
            except Exception as error:  # noqa: BLE001 - a picture must never cost a run its result
                logger.warning("%s could not be drawn: %s", name, error)
                continue
            if content is not None:
                target = os.path.join(self.uri, PICTURES, name)
                self.artifact_store.makedirs(os.path.dirname(target))
                mode = "wb" if isinstance(content, bytes) else "w"
                with self.artifact_store.open(target, mode) as file:
                    file.write(content)
                found[target.replace("\\", "/")] = kind
        return found

    def pictures(
        self, data: Any
    ) -> dict[str, tuple[Callable[[], str | bytes | None], VisualizationType]]:
        """By file name: a function that draws, and what it gives."""
        return {}

    def _upload(self, folder: Path) -> None:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                target = os.path.join(self.uri, CONTENT, path.relative_to(folder).as_posix())
                self.artifact_store.makedirs(os.path.dirname(target))
                with open(path, "rb") as source, self.artifact_store.open(target, "wb") as file:
                    shutil.copyfileobj(source, file, CHUNK_BYTES)

    def _download(self, folder: Path) -> None:
        root = os.path.join(self.uri, CONTENT)
        for parent, _, names in self.artifact_store.walk(root):
            here = folder / os.path.relpath(str(parent), root)
            here.mkdir(parents=True, exist_ok=True)
            for name in names:
                source = os.path.join(str(parent), str(name))
                with (
                    self.artifact_store.open(source, "rb") as file,
                    open(here / str(name), "wb") as target,
                ):
                    shutil.copyfileobj(file, target, CHUNK_BYTES)
