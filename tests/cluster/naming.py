"""What a cluster calls its pools: the nodes for the agent, the pools of a stack file."""

from dataclasses import dataclass

from tests.cluster.agent.node import GPU, NodeSpec, Taint
from tests.cluster.api import Object

SMALL = {"cores": 0.5, "memory": "2Gi", "env": {"OMP_NUM_THREADS": "1"}}


@dataclass(frozen=True, slots=True)
class Naming:
    """Three pools: one without accelerators, two behind a taint."""

    label: str = "saga.dev/pool"
    """Key of the label by which pools are told apart."""
    plain: str = "cpu"
    """Pool without accelerators."""
    train: str = "gpu-train"
    """Pool of the training; a node has two accelerators."""
    judge: str = "gpu-eval"
    """Pool of the evaluation; a node has two."""
    taint: Taint = Taint("nvidia.com/gpu", "present")
    """Taint of the nodes with accelerators."""
    resource: str = GPU
    """Their resource."""

    def nodes(self) -> tuple[NodeSpec, ...]:
        """One for each pool."""
        return (
            NodeSpec(f"{self.plain}-0", {self.label: self.plain}),
            self._accelerated(self.train, 2),
            self._accelerated(self.judge, 2),
        )

    def stack(self) -> Object:
        """Pools and places of a stack file."""
        taint = {"key": self.taint.key, "value": self.taint.value}
        accelerated = {
            "taints": [taint],
            "accelerator": {"resource": self.resource, "count": 1},
            "priority_class": "saga-train",
        }
        pools: Object = {self.plain: SMALL}
        pools |= dict.fromkeys((self.train, self.judge), SMALL | accelerated)
        for name, pool in pools.items():
            pools[name] = pool | {"labels": {self.label: name}}
        return {"pools": pools, "default_pool": self.plain, "steps": self._steps()}

    def _steps(self) -> dict[str, str]:
        judged = ("untrained_encoder", "evaluate_*", "measure_*")
        return {"train_encoder": self.train} | dict.fromkeys(judged, self.judge)

    def _accelerated(self, pool: str, devices: int) -> NodeSpec:
        labels = {self.label: pool}
        return NodeSpec(f"{pool}-0", labels, (self.taint,), devices=devices, resource=self.resource)


OURS = Naming()
OTHERS = Naming(
    "example.com/kind",
    "small",
    "trainers",
    "judges",
    Taint("example.com/accelerated", "yes"),
    "example.com/accelerator",
)
