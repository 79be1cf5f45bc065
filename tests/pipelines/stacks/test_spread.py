"""Trainings on several nodes: which steps follow a TrainJob, and where their own pods run."""

import pytest

from pipelines.configuration import DEFAULT_CONFIG, load_run_config
from pipelines.stacks.pools import (
    FOLLOWS,
    following_step,
    spread_steps,
    step_configuration,
    train_job_template,
)
from pipelines.trainjobs.template import VARIABLE, given
from tests.pipelines.stacks import stacks

KEY = "orchestrator.kubernetes"


def run(*overrides):
    return load_run_config(DEFAULT_CONFIG, ["ablations=[]", *overrides])


@pytest.fixture
def stack(tmp_path):
    return stacks.stack(tmp_path, {"pools.gpu-train.nodes": 4})


def test_arms_that_ask_for_several_nodes_follow():
    assert spread_steps([run(), {}, "x"]) == set()
    assert spread_steps([run("training.distributed.nodes=2")]) == {"train_saga", "train_dml"}
    one = run("training.distributed.nodes=2", "baseline.distributed.nodes=1")
    assert spread_steps([one]) == {"train_saga"}


def test_the_pod_that_follows_takes_no_accelerator_and_has_the_account(stack):
    settings = following_step(stack)["settings"][KEY]
    pod = settings["pod_settings"]
    assert settings["step_pod_service_account_name"] == "saga-training"
    assert pod["node_selectors"] == {"saga.dev/pool": "cpu"}
    assert "nvidia.com/gpu" not in pod["resources"]["limits"]
    assert pod["labels"][FOLLOWS] == "true"
    assert pod["additional_pod_spec_args"]["automount_service_account_token"] is True


def test_it_is_told_what_the_stack_says_of_train_jobs(stack):
    pod = following_step(stack)["settings"][KEY]["pod_settings"]
    env = {entry["name"]: entry["value"] for entry in pod["env"]}
    template = given(env)
    assert template == train_job_template(stack)
    assert (template.namespace, template.runtime, template.pool) == ("saga", "saga", "gpu-train")
    assert template.devices == 1 and template.deadline_seconds == 0.95 * 86400
    assert VARIABLE not in template.env


def test_other_steps_are_as_before(stack):
    settings = step_configuration(stack, "train_encoder")["settings"][KEY]
    pod = settings["pod_settings"]
    assert "step_pod_service_account_name" not in settings
    assert pod["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert VARIABLE not in {entry["name"] for entry in pod["env"]}


@pytest.mark.parametrize("nodes", [0, -1])
def test_a_pool_lets_a_training_use_at_least_one_node(tmp_path, nodes):
    from saga.errors import UserInputError

    with pytest.raises(UserInputError, match="nodes must be at least 1"):
        stacks.stack(tmp_path, {"pools.gpu-train.nodes": nodes})
