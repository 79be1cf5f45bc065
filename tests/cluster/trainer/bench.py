"""What a training step does with a TrainJob, done by the tests themselves: seconds instead of a pipeline.

A Job with a pod that does nothing stands for the step's; folders are shared at the same paths.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kubernetes import client, config

from pipelines.stacks.cluster import Cluster as Connection
from pipelines.stacks.cluster import limited
from pipelines.stacks.configuration import KubernetesStack, read_stack
from pipelines.stacks.pools import train_job_template
from pipelines.trainjobs.nodes import TrainJobNodes
from pipelines.trainjobs.owner import Owner
from saga.encoders.retriever import Retriever
from saga.training.arm import ArmConfig
from saga.training.configuration import DistributedConfig
from saga.training.processes import train_arm
from saga.training.trainer import Progress
from tests.cluster.api import Object
from tests.cluster.desk import Desk
from tests.cluster.jobs import job, jobs
from tests.training.made import EMBEDDED, made_arm, made_birds, made_pairs

STRICT = "saga-strict"
"""Runtime whose groups begin anew once."""
SETTINGS: dict[str, Any] = {
    "steps": 10,
    "checkpoint_every": 1,
    # The paper's rates. AdamW makes rounding errors as large as its steps, so a hundred times the rate is a
    # hundred times the difference between one process and two.
    "optimizer": {"encoder_lr": 2e-5, "pooler_lr": 1e-4},
}


def arm(nodes: int = 1, **changes: Any) -> ArmConfig:
    """Rollouts of the embedded supervisor, on the CPU."""
    made = made_arm(EMBEDDED, **SETTINGS | changes)
    spread = DistributedConfig(processes_per_node=1, nodes=nodes)
    return replace(made, training=replace(made.training, distributed=spread))


@dataclass
class Step:
    """One training step."""

    bench: "Bench"
    number: int
    settings: dict[str, Any]
    said: list[str] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    remembered: list[dict[str, Any]] = field(default_factory=list)

    @property
    def owner(self) -> Owner:
        name = f"step-{self.number}"
        found = self.bench.desk.cluster.api.get(f"{jobs(self.bench.desk.space)}/{name}")
        run = f"{self.number:012d}-0000-0000-0000-000000000000"
        return Owner(run, "train_saga", name, found["metadata"]["uid"])

    @property
    def name(self) -> str:
        """Of its TrainJob."""
        return self.nodes().folder.name

    @property
    def checkpoints(self) -> Path:
        return self.bench.folder / f"checkpoints-{self.number}"

    def nodes(self, act: Callable[[str], None] | None = None) -> TrainJobNodes:
        """The several nodes; `act` is called with every line for the user."""

        def tell(line: str) -> None:
            self.said.append(line)
            if act is not None:
                act(line)

        template = replace(self.bench.template, **self.settings)
        made = TrainJobNodes(
            self.bench.connection,
            template,
            self.checkpoints,
            DistributedConfig(processes_per_node=1, nodes=2),
            tell=tell,
            remember=self.remembered.append,
        )
        made.__dict__["owner"] = self.owner  # in a cluster, its own pod tells
        return made

    def train(
        self,
        *,
        act: Callable[[str], None] | None = None,
        at: Callable[[Progress], None] | None = None,
        nodes: int = 2,
        **changes: Any,
    ) -> Retriever:
        """Train on two nodes, and return the encoder.

        Args:
            act: called with every line for the user.
            at: called with every step that is seen.
            nodes: how many.
            changes: of the training's settings.
        """

        def progress(seen: Progress) -> None:
            self.steps.append(seen.step)
            if at is not None:
                at(seen)

        made = replace(self.nodes(act), spread=DistributedConfig(1, nodes))
        made.__dict__["owner"] = self.owner
        encoder, _ = train_arm(
            arm(nodes, **changes),
            self.bench.birds,
            self.bench.pairs,
            checkpoint_folder=self.checkpoints,
            progress=progress,
            nodes=made,
        )
        return encoder


class Bench:
    """Makes steps."""

    def __init__(self, desk: Desk, spread: Path) -> None:
        self.desk = desk
        self.folder = desk.cache / "bench"
        self.folder.mkdir()
        self.folder.chmod(0o777)
        (self.folder / "birds").mkdir()
        self.birds = made_birds(self.folder / "birds")
        self.pairs = made_pairs(self.birds, "stratified")
        self.connection = self._connect()
        self.template = train_job_template(self._stack(spread))
        self._made = 0
        self._open: list[Step] = []

    def step(self, **settings: Any) -> Step:
        """A training step of its own.

        Args:
            settings: of the template, such as its runtime.
        """
        self._made += 1
        item = job(f"step-{self._made}", "exec sleep 7200")
        self.desk.cluster.api.create(jobs(self.desk.space), item)
        step = Step(self, self._made, settings)
        self._open.append(step)
        for folder in (step.checkpoints, step.nodes().folder):
            folder.mkdir()
            folder.chmod(0o777)  # pods have another user
        return step

    def end(self, step: Step) -> None:
        """Delete the step's Job, as a stop of the run does."""
        path = f"{jobs(self.desk.space)}/step-{step.number}"
        self.desk.cluster.api.delete(path, {"propagationPolicy": "Foreground"})
        self._open.remove(step)

    def end_all(self) -> None:
        """What a test left open; its nodes are free for the next."""
        for step in list(self._open):
            self.end(step)

    def _connect(self) -> Connection:
        """With the rights of the training step."""
        space = self.desk.space
        user = f"system:serviceaccount:{space}:saga-training"
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{space}")
        kubeconfig = self.desk.cluster.plane.kubeconfig(user, *groups)
        settings = client.Configuration()
        config.load_kube_config(config_file=str(kubeconfig), client_configuration=settings)
        return Connection(limited(settings), space)

    def _stack(self, spread: Path) -> KubernetesStack:
        """Pods see the folder where the tests see it."""
        changed = json.loads(spread.read_text())
        here = str(self.desk.cache)
        changed["cache"] = {"host_path": here, "mount_path": here}
        changed["jobs"]["poll_seconds"] = 1.0
        path = self.desk.folder / "bench.yaml"
        path.write_text(json.dumps(changed))
        stack = read_stack(path)
        assert isinstance(stack, KubernetesStack)
        return stack


def strict(runtime: Object) -> Object:
    """A runtime that begins anew once."""
    runtime["metadata"]["name"] = STRICT
    runtime["spec"]["template"]["spec"]["failurePolicy"]["maxRestarts"] = 1
    return runtime
