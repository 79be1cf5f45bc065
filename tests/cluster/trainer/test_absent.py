"""Without Kubeflow Trainer, with another version of it, or without the right: told before anything runs.

They have a cluster to themselves, or come before the tests for which it is installed.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster, wait_for
from tests.cluster.desk import CONFIG, Desk, desk_at
from tests.cluster.manifests import run
from tests.cluster.naming import OURS
from tests.cluster.trainer.jobs import two_nodes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

GROUP = "trainer.kubeflow.org"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture(scope="module")
def bare(pools: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    if pools.api.find(f"{DEFINITIONS}/trainjobs.{GROUP}") is not None:
        pytest.skip("Kubeflow Trainer is installed already: run the whole folder")
    folder = tmp_path_factory.mktemp("bare") / "desk"
    with desk_at(pools, "saga-bare", folder) as made:
        yield made


@pytest.fixture(scope="module")
def stack(bare: Desk) -> Path:
    """A stack whose trainings may use two nodes."""
    path = bare.stack("bare")
    found = json.loads(path.read_text())
    found["pools"][OURS.train]["nodes"] = 2
    path.write_text(json.dumps(found))
    return path


@contextmanager
def served(cluster: Cluster, version: str) -> Iterator[None]:
    """TrainJobs of another version."""
    names = {"plural": "trainjobs", "singular": "trainjob", "kind": "TrainJob"}
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    spec = {
        "group": GROUP,
        "scope": "Namespaced",
        "names": names,
        "versions": [
            {
                "name": version,
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": anything},
            }
        ],
    }
    name = f"trainjobs.{GROUP}"
    body = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name},
        "spec": spec,
    }
    cluster.api.create(DEFINITIONS, body)
    try:
        wait_for(lambda: cluster.api.find(f"/apis/{GROUP}/{version}"), f"{version} to be served")
        yield
    finally:
        cluster.api.delete(f"{DEFINITIONS}/{name}")
        wait_for(lambda: cluster.api.find(f"/apis/{GROUP}") is None, "it to be gone")


def test_a_check_and_a_run_say_what_to_install(bare, stack):
    for command in (["stack", "check", str(stack)], start_of(stack)):
        ended = bare.run(*command)
        assert ended.code == 2, ended.said
        assert "pools.gpu-train.nodes" in ended.out + ended.said
        assert "Install Kubeflow Trainer v2.0 and JobSet" in ended.out + ended.said
    assert bare.jobs() == []


def test_another_version_is_named(bare, stack):
    with served(bare.cluster, "v2beta1"):
        ended = bare.run("stack", "check", str(stack))
    assert ended.code == 2
    assert "serves trainer.kubeflow.org as v2beta1" in ended.out + ended.said
    assert "writes v1alpha1" in ended.out + ended.said


def test_a_missing_right_is_named(bare, stack):
    binding = ("rolebinding", "saga-training", f"--namespace={bare.space}")
    kept = run(bare.cluster.plane.admin, "get", *binding, "--output=json").stdout
    run(bare.cluster.plane.admin, "delete", *binding)
    ended = bare.run("stack", "check", str(stack))
    restored = run(bare.cluster.plane.admin, "apply", "--filename=-", given=kept)
    assert restored.returncode == 0, restored.stderr
    assert ended.code == 2
    assert "service_accounts.training" in ended.out + ended.said
    assert "saga-training may not create trainjobs" in ended.out + ended.said


def test_more_nodes_than_the_pool_has_are_refused_with_both_keys(bare, stack):
    ended = bare.run(*start_of(stack, **{"training.distributed.nodes": 3}))
    assert ended.code == 2
    assert "training.distributed.nodes is 3" in ended.said
    assert "pools.gpu-train.nodes" in ended.said
    ended = bare.run(*start_of(stack, **{"training.distributed.processes_per_node": 2}))
    assert ended.code == 2
    assert "training.distributed.processes_per_node is 2" in ended.said
    assert "pools.gpu-train.accelerator.count" in ended.said
    assert bare.jobs() == []


def start_of(stack: Path, **settings: object) -> list[str]:
    return ["run", str(CONFIG), "--stack", str(stack), *two_nodes(**settings)]
