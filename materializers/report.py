"""RetrievalReport."""

from typing import Any, ClassVar

from zenml.enums import VisualizationType

from materializers.folder import FolderMaterializer
from saga.retrieval.report import RetrievalReport


class ReportMaterializer(FolderMaterializer):
    """Parquet and JSON; recall by class as a table. The page is an artifact of its own."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (RetrievalReport,)

    def facts(self, data: RetrievalReport) -> dict[str, Any]:
        """The metrics, and what was judged."""
        return dict(data.metrics) | {
            "queries": len(data.per_query),
            "encoder_digest": data.encoder_digest,
            "dataset_digest": data.dataset_digest,
        }

    def pictures(self, data: RetrievalReport) -> dict[str, Any]:
        """See the class."""
        table = data.per_class
        return {"per_class.csv": (lambda: table.to_csv(index=False), VisualizationType.CSV)}
