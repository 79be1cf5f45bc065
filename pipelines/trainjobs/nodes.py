"""The several nodes of a training step on a cluster, as saga.training.processes takes them.

train_arm(arm, manifest, pairs, checkpoint_folder=folder, nodes=nodes_of(arm, folder))

Nothing is asked of the cluster before `perform` or `folder`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipelines.stacks.cluster import Cluster, connect
from pipelines.stacks.configuration import ClusterConfig
from pipelines.trainjobs.following import Follower, TrainJobError, facts, say
from pipelines.trainjobs.manifest import manifest, name_of
from pipelines.trainjobs.owner import Owner, owner
from pipelines.trainjobs.recording import record
from pipelines.trainjobs.submission import delete, submitted
from pipelines.trainjobs.template import Template, given
from saga.training.arm import ArmConfig
from saga.training.configuration import DistributedConfig
from saga.training.processes import Nodes
from saga.training.trainer import Progress


def nodes_of(arm: ArmConfig, checkpoints: Path) -> Nodes | None:
    """The nodes of a training step; None where it trains in its own pod, or on this machine.

    Args:
        arm: says how many.
        checkpoints: the training's folder for checkpoints, on the stack's cache volume.
    """
    template = given()
    if template is None or arm.training.distributed.nodes == 1:
        return None
    cluster = connect(ClusterConfig(template.namespace, in_cluster=True))
    return TrainJobNodes(cluster, template, checkpoints, arm.training.distributed)


def abandon() -> None:
    """Delete the TrainJob of this pod's step, if it has one: no other pod will follow it.

    A cluster that does not let us is told of, not raised: the step is failing already.
    """
    template = given()
    if template is None:
        return
    try:
        cluster = connect(ClusterConfig(template.namespace, in_cluster=True))
        ours = owner(cluster)
        delete(cluster, name_of(ours.run, ours.step))
    except Exception as error:  # noqa: BLE001 - whatever the reason, it is the user who must look
        say(f"The step's TrainJob may go on: it could not be deleted ({error}).")


@dataclass
class TrainJobNodes:
    """The pods of one TrainJob."""

    cluster: Cluster
    """Where they run."""
    template: Template
    """What the stack says of them."""
    checkpoints: Path
    """The training's folder for checkpoints, which all pods see."""
    spread: DistributedConfig
    """How many nodes, and processes on each."""
    tell: Callable[[str], None] = say
    """Takes a line for the user."""
    remember: Callable[[dict[str, Any]], None] = record
    """Takes what remains of the TrainJob."""

    @cached_property
    def owner(self) -> Owner:
        """The step."""
        return owner(self.cluster)

    @property
    def folder(self) -> Path:
        """Beside the checkpoints, by the TrainJob's name: another run has another."""
        return self.checkpoints / name_of(self.owner.run, self.owner.step)

    def perform(self, progress: Callable[[Progress], None] | None) -> None:
        """Make the TrainJob or find it again, and follow it.

        Args:
            progress: called after every step.

        Raises:
            SagaError: what the user did wrong.
            TrainJobError: if it came to no result.
        """
        nodes, processes = self.spread.nodes, self.spread.processes_per_node
        wanted = manifest(self.template, self.owner, self.folder, nodes, processes)
        train_job, again = submitted(self.cluster, wanted)
        name = train_job["metadata"]["name"]
        size = f"{nodes} nodes × {processes} processes"
        self.tell(f"TrainJob {name}: {'found again' if again else 'made'}, {size}")
        follower = Follower(self.cluster, self.template, name, self.folder, nodes, tell=self.tell)
        ended = follower.follow(progress)
        self.remember(facts(ended, follower.wanted, processes, follower.attempt + 1))
        if not (self.folder / "encoder").is_dir():
            raise TrainJobError(
                f"the TrainJob {name} is complete, but {self.folder} holds no encoder: do all nodes of "
                "the pool see one and the same cache volume (ReadWriteMany)?"
            )
