"""A stack file is read strictly, and its problems name file and key."""

import pytest

from pipelines.stacks.configuration import (
    STACKS,
    KubernetesStack,
    LocalStack,
    load_stack,
    read_stack,
)
from saga.errors import UserInputError
from tests.pipelines.stacks import stacks


def message(folder, changes=None, without=()):
    path = stacks.written(folder, changes, without)
    with pytest.raises(UserInputError) as error:
        read_stack(path)
    assert str(path) in str(error.value)
    return str(error.value)


def test_the_bundled_stacks_can_be_read():
    assert load_stack("local") == LocalStack("local", "local")
    assert isinstance(load_stack("kubernetes"), KubernetesStack)
    assert {path.stem for path in STACKS.glob("*.yaml")} == {"local", "kubernetes"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"steps.train_encoder": "gpu-trian"}, "steps.train_encoder: there is no pool gpu-trian"),
        ({"steps.train_enoder": "cpu"}, "there is no step train_enoder. Nearest: train_encoder"),
        ({"steps.measured_*": "cpu"}, "steps.measured_*"),
        ({"default_pool": "cpus"}, "default_pool: there is no pool cpus. Nearest: cpu"),
        ({"pools.cpu.labels": {"saga.dev/pool": 1}}, "must be text; got 1 (an integer); put it in quotes"),
        ({"pools.cpu.env": {"LEVEL": 3}}, "pools.cpu.env must be text; got 3"),
        ({"pools.cpu.node_selector": {}}, "pools.cpu.node_selector is not a setting"),
        ({"pools.cpu.shared_memmory": "1Gi"}, "Nearest: pools.cpu.shared_memory"),
        ({"pools.cpu.memory": "8GB"}, "pools.cpu.memory must be an amount with its unit"),
        ({"pools.cpu.memory": 8}, "pools.cpu.memory must be text"),
        ({"pools.cpu.shared_memory": "8Gi"}, "shared_memory (8Gi) counts as memory"),
        ({"pools.cpu.cores": 0}, "pools.cpu.cores must be above 0"),
        ({"pools.cpu.cores_limit": 1}, "cores_limit (1.0) must not be below cores (2.0)"),
        ({"pools.gpu-train.accelerator.count": 0}, "count must be at least 1"),
        ({"pools.gpu-train.accelerator.count": "1"}, "count must be an integer; got '1' (text)"),
        ({"pools.gpu-train.accelerator.resource": "gpu"}, "resource must be like nvidia.com/gpu"),
        ({"pools.gpu-train.security.run_as_user": 0}, "not root"),
        ({"cluster.context": None}, "cluster.context: give the kubeconfig's context"),
        ({"cluster.in_cluster": True}, "not both"),
        ({"server.url": "zenml.example.com"}, "server.url must be http://"),
        ({"server.url": "https://me:word@zenml.example.com"}, "must not hold a password"),
        ({"server.api_key_variable": None}, "server.token_as_secret"),
        ({"server": None}, "server: a bucket needs a ZenML server"),
        ({"artifact_store.uri": "/shared"}, "artifact_store.uri: with a server it must be a bucket"),
        ({"artifact_store.uri": "ftp://x"}, "artifact_store.uri must begin with s3://"),
        ({"image": "registry.example.com/saga"}, "neither tag nor digest"),
        ({"image": "registry.example.com/saga:latest"}, "the tag latest moves"),
        ({"image": "Registry/Saga:1"}, "image must be a name"),
        ({"jobs.retrys": 1}, "Nearest: jobs.retries"),
        ({"jobs.run_deadline_minutes": 5}, "must not be below step_deadline_minutes"),
        ({"cache.host_path": "/x"}, "cache.claim: give a claim, or a host_path"),
        ({"cache.mount_path": "cache"}, "cache.mount_path must be an absolute path"),
        ({"name": "default"}, "name must not be default"),
        ({"kind": "kubernets"}, "Nearest: kubernetes"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_key(tmp_path, changes, said):
    assert said in message(tmp_path, changes)


def test_every_problem_is_told_at_once(tmp_path):
    told = message(tmp_path, {"jobs.retrys": 1, "pools.cpu.memory": "8", "cluster.spac": "x"})
    assert len(told.splitlines()) == 3


def test_a_missing_section_is_told(tmp_path):
    assert "cache is missing" in message(tmp_path, without=("cache",))
    assert "kind is missing" in message(tmp_path, without=("kind",))


def test_a_local_stack_has_no_pools(tmp_path):
    path = tmp_path / "here.yaml"
    path.write_text("name: here\nkind: local\npools: {}\n")
    with pytest.raises(UserInputError, match="pools is not a setting"):
        read_stack(path)


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(UserInputError, match="Did you mean kubernetes"):
        load_stack("kubernets")


def test_a_step_takes_its_own_pool_then_a_patterns_then_the_default(tmp_path):
    found = stacks.stack(
        tmp_path, {"steps": {"measure_*": "gpu-eval", "measure_drift": "cpu", "mine_pairs": "gpu-train"}}
    )  # fmt: skip
    assert found.pool_of("measure_drift") == "cpu"
    assert found.pool_of("measure_encoder") == "gpu-eval"
    assert found.pool_of("monitor_something") == "cpu"


def test_other_labels_taints_and_resources_are_configuration_alone(tmp_path):
    from pipelines.stacks.pools import resources, tolerations

    found = stacks.stack(
        tmp_path,
        {
            "pools.gpu-train.labels": {"team.example/nodes": "big"},
            "pools.gpu-train.taints": [{"key": "team.example/big", "effect": "NoExecute"}],
            "pools.gpu-train.accelerator": {"resource": "amd.com/gpu", "count": 4},
        },
    )
    pool = found.pools["gpu-train"]
    assert pool.labels["team.example/nodes"] == "big"
    assert tolerations(pool) == [
        {"key": "team.example/big", "operator": "Exists", "effect": "NoExecute"}
    ]
    given = resources(pool)
    assert given["requests"]["amd.com/gpu"] == given["limits"]["amd.com/gpu"] == "4"
