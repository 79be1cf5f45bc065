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
from saga.mining.miner import mine_pairs as mine
from saga.mining.miner import needs_embeddings
from saga.mining.pairs import PairSet
from saga.retrieval.extract import extract_embeddings


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
    frame = manifest.training()
    if not needs_embeddings(mining):
        return mine(frame, mining, manifest.digest)
    vectors = extract_embeddings(
        untrained, manifest, frame, progress=reporter("embed to mine pairs"), limits=limits
    )
    return mine(frame, mining, manifest.digest, vectors, untrained.digest)
