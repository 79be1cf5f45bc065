"""DatasetManifest."""

from typing import Any, ClassVar

from zenml.enums import VisualizationType

from materializers.folder import FolderMaterializer
from saga.data.configuration import ImageLimits
from saga.data.manifest import SPLITS, DatasetManifest


class ManifestMaterializer(FolderMaterializer):
    """Parquet and JSON; a contact sheet of each split."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (DatasetManifest,)

    def facts(self, data: DatasetManifest) -> dict[str, Any]:
        """Name, layout, images and classes of each split."""
        counts = data.counts()
        splits = {f"{s}_{k}": counts[s][k] for s in SPLITS for k in ("images", "classes")}
        facts = {"name": data.name, "layout": data.layout, "images": counts["images"]}
        return facts | splits | {"class_list_digest": data.class_list_digest}

    def pictures(self, data: DatasetManifest) -> dict[str, Any]:
        """See the class."""
        from saga.reports.contact_sheet import contact_sheet

        def draw(split: str) -> Any:
            return lambda: contact_sheet(data, split, ImageLimits())

        present = [split for split in SPLITS if data.classes(split)]
        return {f"{split}.png": (draw(split), VisualizationType.IMAGE) for split in present}
