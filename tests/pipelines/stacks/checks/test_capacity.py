"""Pools without a node that would take their pod, and quotas without room."""

import pytest

from pipelines.stacks.checks import capacity
from tests.pipelines.stacks import stacks
from tests.pipelines.stacks.objects import GPU, NODES, QUOTAS, node, quota


def nodes(api, folder, *there, changes=None):
    api.put(NODES, *there)
    found = stacks.stack(folder, changes)
    return {f.key: f for f in capacity.nodes(found, api.cluster())}


CPU = node("c1", "cpu")
TRAIN = node("t1", "gpu-train", taints=GPU, nvidia_com__gpu="1")
EVAL = node("e1", "gpu-eval", taints=GPU, nvidia_com__gpu="1")


def test_pools_with_fitting_nodes_are_silent(api, tmp_path):
    assert nodes(api, tmp_path, CPU, TRAIN, EVAL) == {}


def test_a_pool_that_may_be_empty_is_only_told(api, tmp_path):
    found = nodes(api, tmp_path, CPU)
    assert set(found) == {"pools.gpu-train.labels", "pools.gpu-eval.labels"}
    assert {f.level for f in found.values()} == {"tells"}


def test_a_pool_without_nodes_blocks_and_says_what_there_is(api, tmp_path):
    found = nodes(api, tmp_path, node("c1", "cpus"), TRAIN, EVAL)
    told = found["pools.cpu.labels"]
    assert told.level == "blocks" and "No node has saga.dev/pool=cpu." in told.message
    assert "saga.dev/pool=cpus" in told.message and "may_be_empty" in told.message


def test_a_pool_that_no_step_uses_only_warns(api, tmp_path):
    spare = {"labels": {"x": "y"}, "cores": 1, "memory": "1Gi"}
    found = nodes(api, tmp_path, CPU, TRAIN, EVAL, changes={"pools.spare": spare})
    assert found["pools.spare.labels"].level == "warns"


def test_a_taint_that_the_pool_does_not_name_blocks(api, tmp_path):
    tainted = node("c1", "cpu", taints=(("team", "ours", "NoSchedule"),))
    told = nodes(api, tmp_path, tainted, TRAIN, EVAL)["pools.cpu.taints"]
    assert told.level == "blocks" and "team=ours:NoSchedule" in told.message


@pytest.mark.parametrize(
    "taint",
    [("team", "x", "PreferNoSchedule"), ("node.kubernetes.io/not-ready", "", "NoExecute")],
)
def test_taints_that_do_not_last_or_repel_do_not_count(api, tmp_path, taint):
    assert nodes(api, tmp_path, node("c1", "cpu", taints=(taint,)), TRAIN, EVAL) == {}


def test_a_tolerated_key_with_another_value_repels(api, tmp_path):
    other = node(
        "t1", "gpu-train", taints=(("nvidia.com/gpu", "no", "NoSchedule"),), nvidia_com__gpu="1"
    )
    assert "pools.gpu-train.taints" in nodes(api, tmp_path, CPU, other, EVAL)


def test_closed_and_broken_nodes_do_not_count(api, tmp_path):
    there = (node("c1", "cpu", ready=False), node("c2", "cpu", closed=True))
    told = nodes(api, tmp_path, *there, TRAIN, EVAL)["pools.cpu.labels"]
    assert "No node of it is ready" in told.message and "c1, c2" in told.message


def test_too_few_devices_name_the_count_and_the_plugin(api, tmp_path):
    none = node("t1", "gpu-train", taints=GPU)
    told = nodes(api, tmp_path, CPU, none, EVAL)["pools.gpu-train.accelerator.count"]
    assert "asks for 1 of nvidia.com/gpu" in told.message and "device plugin" in told.message
    told = nodes(api, tmp_path, CPU, TRAIN, EVAL, changes={"pools.gpu-train.accelerator.count": 8})
    assert "device plugin" not in told["pools.gpu-train.accelerator.count"].message


def test_too_little_memory_names_the_largest_node(api, tmp_path):
    small = node("c1", "cpu", memory="4Gi")
    told = nodes(api, tmp_path, small, TRAIN, EVAL)["pools.cpu.memory"]
    assert "asks for 8Gi of memory" in told.message and "has 4Gi" in told.message


def test_no_single_node_has_everything(api, tmp_path):
    there = (node("c1", "cpu", memory="4Gi"), node("c2", "cpu", cpu="1"))
    told = nodes(api, tmp_path, *there, TRAIN, EVAL)["pools.cpu"]
    assert "No single one of its 2 nodes" in told.message


def quotas(api, folder, *given):
    api.put(QUOTAS, *given)
    return {f.key: f for f in capacity.quota(stacks.stack(folder), api.cluster())}


def test_a_quota_with_room_is_silent(api, tmp_path):
    assert quotas(api, tmp_path, quota(requests_memory="512Gi", pods="10")) == {}


def test_a_quota_that_can_never_fit_blocks_and_names_the_setting(api, tmp_path):
    entry = quota(requests_memory="64Gi")
    entry["status"]["hard"]["requests.nvidia.com/gpu"] = "0"
    found = quotas(api, tmp_path, entry)
    assert set(found) == {
        "pools.gpu-train.memory", "pools.gpu-train.accelerator.count", "pools.gpu-eval.accelerator.count"
    }  # fmt: skip
    assert {f.level for f in found.values()} == {"blocks"}
    assert "allows 64Gi in all" in found["pools.gpu-train.memory"].message


def test_the_orchestrators_pod_counts_beside_the_step(api, tmp_path):
    assert quotas(api, tmp_path, quota(requests_memory="96Gi"))["pools.gpu-train.memory"]


def test_a_quota_that_is_used_up_only_warns(api, tmp_path):
    entry = quota(used={"requests.nvidia.com/gpu": "1"})
    entry["status"]["hard"]["requests.nvidia.com/gpu"] = "1"
    found = quotas(api, tmp_path, entry)
    assert {f.level for f in found.values()} == {"warns"}
    told = found["pools.gpu-train.accelerator.count"]
    assert "0 of 1 left now" in told.message and "will wait" in told.message
