"""The main job on a cluster: one definition, two places."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.api import Object
from tests.cluster.authority import CONTEXT
from tests.cluster.cluster import Cluster
from tests.cluster.jobs import IMAGE, conditions, jobs, pods
from tests.cluster.manifests import apply

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SAGA = Path(sys.executable).with_name("saga")
PROJECT = Path(__file__).parents[2]
CONFIG = PROJECT / "configs" / "ci-small.yaml"
SPACE = "saga-runs"
STEP, POOL = "step_name", "saga.dev/pool"
PLACES = {
    "load_dataset": "cpu",
    "train_encoder": "gpu-train",
    "untrained_encoder": "gpu-eval",
    "evaluate_retrieval": "gpu-eval",
    "measure_*": "gpu-eval",
    "gate_candidate": "cpu",
}
KINDS = ("ServiceAccount", "Role", "RoleBinding", "PriorityClass")


@dataclass(frozen=True)
class Run:
    """A finished `saga run`."""

    code: int
    out: str
    err: str
    pods: list[Object]
    jobs: list[Object]

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


@pytest.fixture(scope="module")
def runs(pools: Cluster):
    """A namespace with the accounts and roles of infra/kubernetes; it lets pods mount host folders."""
    with pools.namespace(SPACE) as space:
        apply(pools.plane.admin, "base", space, KINDS)
        yield space


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where the commands run; pods of other users reach what lies in it by mounts."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def on_cluster(pools: Cluster, runs: str, folder: Path) -> Run:
    stack = folder / "stack.yaml"
    stack.write_text(json.dumps(stack_of(runs, folder / "cache")))  # JSON is YAML
    ended = saga(pools, folder, "run", str(CONFIG), "--stack", str(stack), "--json")
    found = pools.api.get(pods(runs))["items"]
    return Run(
        ended.returncode, ended.stdout, ended.stderr, found, pools.api.get(jobs(runs))["items"]
    )


def stack_of(space: str, cache: Path) -> Object:
    small = {"cores": 0.5, "memory": "2Gi"}
    taint = {"key": "nvidia.com/gpu", "value": "present"}
    gpu = {"taints": [taint], "accelerator": {"count": 1}, "priority_class": "saga-train"}
    return {
        "name": "loopback",
        "kind": "kubernetes",
        "cluster": {"context": CONTEXT, "namespace": space},
        "registry": {"uri": IMAGE.rpartition("/")[0]},
        "image": IMAGE,
        "cache": {"host_path": str(cache), "mount_path": "/cache"},
        "jobs": {"poll_seconds": 0.5, "stop_grace_seconds": 5},
        "default_pool": "cpu",
        "pools": {
            "cpu": {"labels": {POOL: "cpu"}, **small},
            "gpu-train": {"labels": {POOL: "gpu-train"}, **small, **gpu},
            "gpu-eval": {"labels": {POOL: "gpu-eval"}, **small, **gpu},
        },
        "steps": PLACES,
    }


def saga(pools: Cluster, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ZENML_", "SAGA_"))}
    cache = folder / "cache"
    cache.mkdir(exist_ok=True)
    cache.chmod(0o777)
    return subprocess.run(
        [SAGA, *arguments],
        cwd=folder,
        env=kept | {"KUBECONFIG": str(pools.plane.admin), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=800,
        stdin=subprocess.DEVNULL,
        umask=0,  # the pods' user writes into the same embedded database
    )


def test_the_whole_pipeline_runs(on_cluster):
    assert on_cluster.code in (0, 3), on_cluster.err  # the tiny encoder may fail its gates
    assert on_cluster.summary["artifacts"]


def test_every_step_runs_on_its_pool_and_gpus_are_where_they_are_asked_for(on_cluster):
    placed = {
        pod["metadata"]["labels"][STEP]: (pod["spec"]["nodeName"], gpus(pod))
        for pod in on_cluster.pods
        if STEP in pod["metadata"]["labels"]
    }
    assert placed["load_dataset"] == ("cpu-0", 0)
    trained = {where for step, where in placed.items() if step.startswith("train_encoder")}
    assert trained == {("gpu-train-0", 1)}
    assert placed["gate_candidate"] == ("cpu-0", 0)
    assert {where for where in placed.values() if where[1]} <= {
        ("gpu-train-0", 1),
        ("gpu-eval-0", 1),
    }


def test_every_job_ends_well_and_at_once(on_cluster):
    assert {conditions(item["status"])["Complete"] for item in on_cluster.jobs} == {"True"}
    assert sum(item["status"].get("failed", 0) for item in on_cluster.jobs) == 0


def gpus(pod: Object) -> int:
    limits = pod["spec"]["containers"][0]["resources"].get("limits", {})
    return int(limits.get("nvidia.com/gpu", 0))
