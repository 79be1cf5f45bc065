"""ValidationReport."""

from typing import Any, ClassVar

from zenml.enums import VisualizationType

from materializers.folder import FolderMaterializer
from saga.data.validation import ValidationReport


class ValidationMaterializer(FolderMaterializer):
    """JSON; the page of all expectations."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (ValidationReport,)

    def facts(self, data: ValidationReport) -> dict[str, Any]:
        """Whether it passed, and what did not."""
        return {
            "success": data.success,
            "expectations": len(data.outcomes),
            "failed": [outcome.id for outcome in data.failed],
            "warnings": [outcome.id for outcome in data.warnings],
        }

    def pictures(self, data: ValidationReport) -> dict[str, Any]:
        """See the class."""
        return {"validation.html": (data.page, VisualizationType.HTML)}
