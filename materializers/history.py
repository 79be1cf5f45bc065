"""TrainingHistory."""

from typing import Any, ClassVar

from zenml.enums import VisualizationType

from materializers.folder import FolderMaterializer
from saga.training.history import TrainingHistory


class HistoryMaterializer(FolderMaterializer):
    """Parquet and JSON; the curves."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (TrainingHistory,)

    def facts(self, data: TrainingHistory) -> dict[str, Any]:
        """The summary's figures."""
        return {name: value for name, value in data.summary.items() if value is not None}

    def pictures(self, data: TrainingHistory) -> dict[str, Any]:
        """See the class."""
        from saga.reports.curves import training_curves

        arm = str(data.summary.get("arm", "training"))
        return {"curves.png": (lambda: training_curves({arm: data}), VisualizationType.IMAGE)}
