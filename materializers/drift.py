"""DriftReport, and the measured images that it compares."""

from typing import Any, ClassVar

from zenml.enums import VisualizationType

from materializers.folder import FolderMaterializer
from saga.monitoring.measured import MeasuredImages
from saga.monitoring.report import DriftReport


class DriftMaterializer(FolderMaterializer):
    """Parquet and JSON; the page."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (DriftReport,)

    def facts(self, data: DriftReport) -> dict[str, Any]:
        """Figures, warnings and the digests of what was compared."""
        digests = {f"{role}_digest": digest for role, digest in data.digests.items()}
        return data.figures | {"warnings": list(data.warnings)} | digests

    def pictures(self, data: DriftReport) -> dict[str, Any]:
        """See the class."""
        return {"drift.html": (data.page, VisualizationType.HTML)}


class MeasuredImagesMaterializer(FolderMaterializer):
    """Parquet, safetensors and JSON."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (MeasuredImages,)

    def facts(self, data: MeasuredImages) -> dict[str, Any]:
        """What they are, how many, and whose space it is."""
        return {
            "name": data.name,
            "images": len(data),
            "encoder_digest": data.encoder_digest,
            "data_digest": data.data_digest,
        }
