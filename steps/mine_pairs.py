"""Which pairs the supervisor will compare."""

from typing import Annotated

from zenml import step

from materializers.pairs import PairSetMaterializer
from pipelines.progress import reporter
from saga.data.configuration import ImageLimits
from saga.data.manifest import DatasetManifest
from saga.data.validation import ValidationReport
from saga.encoders.retriever import Retriever
from saga.mining.configuration import MiningConfig
from saga.mining.miner import mine_training_images
from saga.mining.pairs import PairSet


@step(output_materializers={"pairs": PairSetMaterializer})
def mine_pairs(
    manifest: DatasetManifest,
    validation: ValidationReport,
    untrained: Retriever,
    mining: MiningConfig,
    limits: ImageLimits,
    code: str,
) -> Annotated[PairSet, "pairs"]:
    """Choose pairs of training images; refuses data whose validation said no."""
    validation.require()
    report = reporter("embed to mine pairs")
    return mine_training_images(manifest, mining, lambda: untrained, limits, report)
