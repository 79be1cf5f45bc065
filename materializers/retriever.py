"""Retriever."""

from pathlib import Path
from typing import Any, ClassVar

from zenml.enums import ArtifactType, VisualizationType

from materializers.folder import CONTENT, FolderMaterializer
from saga.encoders.card import model_card
from saga.encoders.retriever import Retriever


class RetrieverMaterializer(FolderMaterializer):
    """The deployable folder as `Retriever.save` writes it; its model card."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (Retriever,)
    ASSOCIATED_ARTIFACT_TYPE: ClassVar[ArtifactType] = ArtifactType.MODEL

    def load(self, data_type: type[Any]) -> Retriever:
        """Fetch and check the folder, on the CPU."""
        with self.get_temporary_directory(delete_at_exit=True) as temporary:
            folder = Path(temporary) / CONTENT
            self._download(folder)
            return Retriever.load(folder)

    def facts(self, data: Retriever) -> dict[str, Any]:
        """Width, size and provenance."""
        provenance = {f"from_{name}": str(value) for name, value in data.provenance.items()}
        parameters = sum(p.numel() for p in data.parameters())
        return {"embedding_dim": data.embedding_dim, "parameters": parameters} | provenance

    def pictures(self, data: Retriever) -> dict[str, Any]:
        """See the class."""
        card = model_card(data.description(), data.provenance, {})
        return {"card.md": (lambda: card, VisualizationType.MARKDOWN)}
