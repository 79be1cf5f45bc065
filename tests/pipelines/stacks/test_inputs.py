"""A run's files must be on the stack's volumes, its processes on its GPUs."""

from dataclasses import replace

import pytest

from pipelines.configuration import DEFAULT_CONFIG, load_run_config
from pipelines.stacks.inputs import check_run
from saga.errors import UserInputError
from saga.training.configuration import DistributedConfig
from tests.pipelines.stacks import stacks

EMBEDDED = load_run_config(DEFAULT_CONFIG)


def told(run, stack):
    with pytest.raises(UserInputError) as error:
        check_run(run, stack, "our.yaml")
    return str(error.value)


def processes(number, of=EMBEDDED):
    change = replace(of.training.distributed, processes_per_node=number)
    return replace(of, training=replace(of.training, distributed=change))


def test_the_embedded_example_fits(tmp_path):
    check_run(EMBEDDED, stacks.stack(tmp_path), "our.yaml")


@pytest.mark.parametrize("root", ["data/birds", "/data/birds", "/cache/../etc", "/cached"])
def test_a_dataset_must_be_on_a_volume(tmp_path, root):
    run = replace(EMBEDDED, dataset=replace(EMBEDDED.dataset, layout="folders", root=root))
    message = told(run, stacks.stack(tmp_path))
    assert message.startswith(f"dataset.root: {root} is on none of the volumes")
    assert "(/cache)" in message


def test_a_dataset_on_any_volume_is_found(tmp_path):
    volumes = [{"claim": "birds", "mount_path": "/data", "read_only": True}]
    run = replace(EMBEDDED, dataset=replace(EMBEDDED.dataset, layout="folders", root="/data/birds"))
    check_run(run, stacks.stack(tmp_path, {"volumes": volumes}), "our.yaml")


def test_a_prompt_file_must_be_on_a_volume(tmp_path):
    run = replace(EMBEDDED, supervisor=replace(EMBEDDED.supervisor, prompt="mine.yaml"))
    assert told(run, stacks.stack(tmp_path)).startswith("supervisor.prompt: mine.yaml")


def test_a_local_supervisor_must_be_on_a_volume_and_here(tmp_path):
    run = replace(EMBEDDED, supervisor=replace(EMBEDDED.supervisor, model="/cache/models/none"))
    assert "is not a folder here" in told(run, stacks.stack(tmp_path))
    hub = replace(
        EMBEDDED, supervisor=replace(EMBEDDED.supervisor, model="Qwen/Qwen3-VL-8B-Instruct")
    )
    check_run(hub, stacks.stack(tmp_path), "our.yaml")


def test_more_processes_than_devices_name_both_keys(tmp_path):
    message = told(processes(2), stacks.stack(tmp_path))
    assert "training.distributed.processes_per_node is 2" in message
    assert "our.yaml" in message and "pools.gpu-train.accelerator.count" in message
    check_run(processes(2), stacks.stack(tmp_path, {"pools.gpu-train.accelerator.count": 2}), "x")


def nodes(number, processes=1):
    change = DistributedConfig(processes, number)
    return replace(EMBEDDED, training=replace(EMBEDDED.training, distributed=change))


def test_more_nodes_than_the_pool_lets_a_training_use_name_both_keys(tmp_path):
    message = told(nodes(2), stacks.stack(tmp_path))
    assert "training.distributed.nodes is 2" in message
    assert "our.yaml lets a training use 1 of the pool gpu-train (pools.gpu-train.nodes)" in message
    many = stacks.stack(tmp_path, {"pools.gpu-train.nodes": 4})
    check_run(nodes(4), many, "x")
    both = told(nodes(5, processes=2), many)
    assert "distributed.nodes is 5" in both and "pools.gpu-train.accelerator.count" in both


def test_processes_on_the_cpu_need_no_devices(tmp_path):
    run = replace(EMBEDDED, supervisor=replace(EMBEDDED.supervisor, device="cpu"))
    check_run(processes(2, run), stacks.stack(tmp_path), "our.yaml")


def test_a_gpu_cannot_be_wanted_on_a_pool_without(tmp_path):
    run = replace(EMBEDDED, supervisor=replace(EMBEDDED.supervisor, device="cuda"))
    message = told(run, stacks.stack(tmp_path, {"steps.train_encoder": "cpu"}))
    assert "supervisor.device is cuda" in message and "pools.cpu.accelerator" in message
