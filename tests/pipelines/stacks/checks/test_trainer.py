"""What keeps trainings from using several nodes is told before a run, with what to install."""

import copy

import pytest
import yaml

from pipelines.stacks.checks import all
from pipelines.stacks.checks.trainer import trainer
from pipelines.trainjobs.manifest import GROUP
from saga.errors import UserInputError
from tests.infra.kubernetes_manifests import FOLDER
from tests.pipelines.stacks import stacks
from tests.pipelines.stacks.objects import ACCOUNTS, GPU, NODES, named, node, whole

GROUPS = "/apis/"
RUNTIMES = f"/apis/{GROUP}/v1alpha1/namespaces/saga/trainingruntimes"
RUNTIME = yaml.safe_load((FOLDER / "components" / "trainer" / "runtime.yaml").read_text())
FOUR = {"pools.gpu-train.nodes": 4}


def group(name, *versions):
    served = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": served}


def serve(api, *groups):
    api.objects[GROUPS] = {"kind": "APIGroupList", "apiVersion": "v1", "groups": [*groups]}


@pytest.fixture
def cluster(api):
    """A whole cluster with Kubeflow Trainer and our runtime."""
    whole(api)
    serve(api, group(GROUP, "v1alpha1"), group("jobset.x-k8s.io", "v1alpha2"))
    api.put(RUNTIMES, RUNTIME)
    accounts = ("saga-orchestrator", "saga-step", "saga-training")
    api.put(ACCOUNTS, *map(named, accounts))
    return api


def findings(api, folder, changes=None):
    found = trainer(stacks.stack(folder, FOUR | (changes or {})), api.cluster())
    return {f.key: f for f in found}


def test_a_stack_without_several_nodes_asks_nothing(api, tmp_path):
    assert list(trainer(stacks.stack(tmp_path), api.cluster())) == []
    assert api.asked == [] and api.made == []


def test_a_cluster_with_everything_is_ready(cluster, tmp_path):
    assert findings(cluster, tmp_path) == {}


def test_no_trainer_is_told_with_what_to_install(cluster, tmp_path):
    serve(cluster, group("batch", "v1"))
    told = findings(cluster, tmp_path)["pools.gpu-train.nodes"]
    assert told.level == "blocks"
    assert "has no trainer.kubeflow.org. Install Kubeflow Trainer v2.0 and JobSet" in told.message
    assert told.message.endswith("or set pools.gpu-train.nodes to 1.")


def test_its_predecessor_is_none_of_it(cluster, tmp_path):
    serve(cluster, group("kubeflow.org", "v1"))
    assert "its predecessor" in findings(cluster, tmp_path)["pools.gpu-train.nodes"].message


def test_another_version_is_told_with_both(cluster, tmp_path):
    serve(cluster, group(GROUP, "v1beta1", "v1"), group("jobset.x-k8s.io", "v1alpha2"))
    told = findings(cluster, tmp_path)["pools.gpu-train.nodes"].message
    assert "serves trainer.kubeflow.org as v1beta1, v1" in told and "writes v1alpha1" in told


def test_jobset_is_needed_too(cluster, tmp_path):
    serve(cluster, group(GROUP, "v1alpha1"))
    told = findings(cluster, tmp_path)["pools.gpu-train.nodes"].message
    assert "not jobset.x-k8s.io, which it uses" in told


def test_a_missing_runtime_is_told(cluster, tmp_path):
    told = findings(cluster, tmp_path, {"trainer": {"runtime": "ours"}})["trainer.runtime"]
    assert told.level == "blocks" and "no TrainingRuntime ours in saga" in told.message


def test_a_runtime_of_another_kind_is_told(cluster, tmp_path):
    other = copy.deepcopy(RUNTIME)
    other["spec"]["mlPolicy"] = {"mpi": {}}
    cluster.put(RUNTIMES, other)
    assert "not one for torch" in findings(cluster, tmp_path)["trainer.runtime"].message
    other = copy.deepcopy(RUNTIME)
    other["spec"]["template"]["spec"]["replicatedJobs"][0]["name"] = "worker"
    cluster.put(RUNTIMES, other)
    assert "has no job node" in findings(cluster, tmp_path)["trainer.runtime"].message


def test_a_missing_account_and_missing_rights_are_told(cluster, tmp_path):
    cluster.allowed = lambda spec: spec["resourceAttributes"]["verb"] != "delete"
    told = findings(cluster, tmp_path)["service_accounts.training"]
    assert (
        told.level == "blocks" and "saga-training may not delete trainjobs in saga" in told.message
    )
    asked = [body["spec"]["resourceAttributes"] for _, body in cluster.made] or None
    assert asked is None  # reviews leave nothing behind
    cluster.put(ACCOUNTS, named("saga-step"))
    told = findings(cluster, tmp_path)["service_accounts.training"].message
    assert "There is no service account saga-training" in told


def test_what_the_runtime_says_otherwise_than_the_pool_warns(cluster, tmp_path):
    changes = {
        "pools.gpu-train.priority_class": "saga-eval",
        "pools.gpu-train.runtime_class": "nvidia",
        "pools.gpu-train.security": {"run_as_user": 7},
        "image_pull_secrets": ["ours"],
    }
    found = findings(cluster, tmp_path, changes)
    assert {f.level for f in found.values()} == {"warns"} and set(found) == {
        "pools.gpu-train.priority_class",
        "pools.gpu-train.runtime_class",
        "pools.gpu-train.security.run_as_user",
        "image_pull_secrets",
    }
    assert "It is 7, but" in found["pools.gpu-train.security.run_as_user"].message
    assert found["image_pull_secrets"].message.count("none") == 1


def test_fewer_nodes_than_a_training_may_ask_for_warn(cluster, tmp_path):
    cluster.put(NODES, node("t1", "gpu-train", taints=GPU), node("t2", "gpu-train", ready=False))
    told = findings(cluster, tmp_path, {"pools.gpu-train.may_be_empty": False})
    assert told["pools.gpu-train.nodes"].level == "warns"
    assert "1 of it are ready now" in told["pools.gpu-train.nodes"].message


def test_a_run_is_refused_before_it_is_submitted(cluster, tmp_path, monkeypatch):
    import kubernetes.config.kube_config as loading

    monkeypatch.setattr(loading, "KUBE_CONFIG_DEFAULT_LOCATION", str(cluster.kubeconfig(tmp_path)))
    all.require(stacks.shared(tmp_path, FOUR), "our.yaml")
    serve(cluster, group("batch", "v1"))
    with pytest.raises(UserInputError, match=r"our\.yaml: pools\.gpu-train\.nodes: .*Install"):
        all.require(stacks.shared(tmp_path, FOUR), "our.yaml")
