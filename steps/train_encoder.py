"""One arm's training."""

from typing import Annotated

from zenml import ArtifactConfig, step

from materializers.history import HistoryMaterializer
from materializers.retriever import RetrieverMaterializer
from pipelines.checkpoints import locked_folder
from pipelines.environment import git_state
from pipelines.lineage.recording import record_step_facts
from pipelines.progress import reporter
from pipelines.trainjobs.nodes import nodes_of
from saga.data.manifest import DatasetManifest
from saga.encoders.retriever import Retriever
from saga.mining.pairs import PairSet
from saga.training.arm import ArmConfig
from saga.training.history import TrainingHistory
from saga.training.processes import train_arm
from saga.training.trainer import Progress


@step(
    output_materializers={
        "encoder_{arm}": RetrieverMaterializer,
        "history_{arm}": HistoryMaterializer,
    }
)
def train_encoder(
    manifest: DatasetManifest, pairs: PairSet, arm: ArmConfig, bound: dict[str, str]
) -> tuple[
    Annotated[Retriever, ArtifactConfig(name="encoder_{arm}")],
    Annotated[TrainingHistory, ArtifactConfig(name="history_{arm}")],
]:
    """Train, from the last checkpoint of the same arm, data and pairs where there is one.

    Args:
        manifest: the data; only training classes are touched.
        pairs: what the supervisor compares.
        arm: supervisor, encoder, losses, optimizer.
        bound: digests of code, supervisor and prompt: recorded; other digests train anew.
    """
    record_step_facts()
    report = reporter(f"train {arm.name}")

    def tell(at: Progress) -> None:
        reward = at.metrics.get("rollout/reward")
        note = (
            f"reward {reward:.2f}" if reward is not None else f"loss {at.metrics['loss/dml']:.2f}"
        )
        report(at.step, at.steps, note)

    with locked_folder(arm, manifest.digest, pairs.digest, bound) as folder:
        commit = str(git_state()["git_commit"])
        provenance = bound | {"git_commit": commit}
        encoder, history = train_arm(
            arm,
            manifest,
            pairs,
            checkpoint_folder=folder,
            progress=tell,
            provenance=provenance,
            nodes=nodes_of(arm, folder),
        )
    # ZenML reads the source: only a tuple written out makes two artifacts.
    return encoder, history
