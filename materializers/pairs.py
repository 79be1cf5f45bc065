"""PairSet."""

from typing import Any, ClassVar

from zenml.enums import VisualizationType

from materializers.folder import FolderMaterializer
from saga.mining.pairs import PairSet

ROWS_SHOWN = 100


class PairSetMaterializer(FolderMaterializer):
    """Parquet and JSON; the first pairs as a table."""

    ASSOCIATED_TYPES: ClassVar[tuple[type[Any], ...]] = (PairSet,)

    def facts(self, data: PairSet) -> dict[str, Any]:
        """Numbers of pairs, and where they came from."""
        return {
            "pairs": len(data.frame),
            "same_share": data.same_share,
            "hard_pairs": int((data.frame["kind"] == "hard").sum()),
            "strategy": data.strategy,
            "seed": data.seed,
            "manifest_digest": data.manifest_digest,
            "encoder_digest": data.encoder_digest or "",
        }

    def pictures(self, data: PairSet) -> dict[str, Any]:
        """See the class."""
        head = data.frame.head(ROWS_SHOWN)
        return {"pairs.csv": (lambda: head.to_csv(index=False), VisualizationType.CSV)}
