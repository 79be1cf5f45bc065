"""Kubeflow Trainer on the cluster of the tests, two more nodes, and a desk to run from."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.agent.node import NodeSpec
from tests.cluster.api import Object
from tests.cluster.cluster import Cluster
from tests.cluster.controlplane.binaries import UnavailableError
from tests.cluster.desk import Desk, desk_at
from tests.cluster.manifests import moved
from tests.cluster.naming import OURS
from tests.cluster.trainer.controllers import Controllers, controllers
from tests.infra.kubernetes_manifests import objects, of_kind

POOL = "gpu-many"
GROUP = "/apis/trainer.kubeflow.org/v1alpha1"
NODES = tuple(
    NodeSpec(f"{POOL}-{i}", {OURS.label: POOL}, (OURS.taint,), devices=1) for i in range(2)
)


@pytest.fixture(scope="session")
def trainer(own_cluster: Cluster) -> Iterator[Controllers]:
    """Both controllers."""
    try:
        with controllers(own_cluster.plane) as ours:
            yield ours
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def many(pools: Cluster, trainer: Controllers) -> Iterator[Cluster]:
    """The cluster with a pool of two nodes, one accelerator each."""
    with pools.nodes(*NODES):
        yield pools


@pytest.fixture(scope="session")
def desk(many: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A place to work from, with our runtime."""
    folder: Path = tmp_path_factory.mktemp("spread") / "desk"
    with desk_at(many, "saga-spread", folder) as made:
        many.api.create(f"{GROUP}/namespaces/{made.space}/trainingruntimes", runtime(made.space))
        yield made


def runtime(space: str) -> Object:
    """Ours, whose pods are whoever submits: so are a step's, where the database is embedded."""
    made = moved(of_kind(objects("overlays/trainer"), "TrainingRuntime")["saga"], space)
    (node,) = made["spec"]["template"]["spec"]["replicatedJobs"]
    pod = node["template"]["spec"]["template"]["spec"]
    pod["securityContext"] = {"runAsUser": os.getuid(), "runAsGroup": os.getgid()}
    return made


@pytest.fixture(scope="session")
def spread(desk: Desk) -> Path:
    """A stack whose trainings may use two nodes."""
    path = desk.stack("spread")
    stack = json.loads(path.read_text())
    pool = stack["pools"][OURS.train] | {"labels": {OURS.label: POOL}, "nodes": 2}
    stack["pools"][POOL] = pool
    stack["steps"]["train_encoder"] = POOL
    stack["jobs"]["poll_seconds"] = 1
    path.write_text(json.dumps(stack))
    return path
