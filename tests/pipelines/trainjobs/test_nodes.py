"""The nodes of a step: made or found again, followed, remembered."""

from dataclasses import replace

import pytest

from pipelines.trainjobs.following import TrainJobError
from pipelines.trainjobs.nodes import TrainJobNodes, abandon, nodes_of
from pipelines.trainjobs.template import VARIABLE
from saga.training.arm import ArmConfig
from saga.training.configuration import DistributedConfig
from tests.pipelines.trainjobs.objects import JOBS, NAME, PODS, step_pod, train_job

TWO = DistributedConfig(processes_per_node=1, nodes=2)


def arm(spread):
    from pipelines.configuration import DEFAULT_CONFIG, load_run_config

    made: ArmConfig = load_run_config(DEFAULT_CONFIG).candidate_arm
    return replace(made, training=replace(made.training, distributed=spread))


@pytest.fixture
def nodes(api, template, tmp_path, monkeypatch):
    monkeypatch.setenv("HOSTNAME", "step-1")
    api.put(PODS, step_pod())
    answer = api.answer

    def completes(method, path, body):
        """A TrainJob is complete as soon as it is made."""
        if method == "POST" and path == JOBS:
            about = {k: body["metadata"][k] for k in ("annotations", "ownerReferences")}
            api.put(JOBS, train_job(("Complete", "done"), **about))
        if path == PODS and method == "GET":
            return 200, {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": []}
        return answer(method, path, body)

    api.answer = completes
    said, kept = [], []
    ours = TrainJobNodes(
        api.cluster(), template, tmp_path, TWO, tell=said.append, remember=kept.append
    )
    return ours, said, kept


def test_a_training_on_one_node_needs_none_of_it(monkeypatch, tmp_path, template):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert nodes_of(arm(TWO), tmp_path) is None
    monkeypatch.setenv(VARIABLE, template.written())
    assert nodes_of(arm(DistributedConfig(processes_per_node=2)), tmp_path) is None


def test_the_folder_is_beside_the_checkpoints_by_the_train_jobs_name(nodes, tmp_path):
    assert nodes[0].folder == tmp_path / NAME


def test_it_is_made_followed_and_remembered(nodes, api):
    ours, said, kept = nodes
    (ours.folder / "encoder").mkdir(parents=True)
    ours.perform(None)
    assert said == [f"TrainJob {NAME}: made, 2 nodes × 1 processes"]
    assert [(facts["name"], facts["nodes"]) for facts in kept] == [(NAME, 2)]
    ours.perform(None)
    assert said[-1].startswith(f"TrainJob {NAME}: found again")
    assert [path for path, _ in api.made] == [JOBS]


def test_a_result_that_the_step_cannot_see_is_explained(nodes):
    ours, *_ = nodes
    with pytest.raises(TrainJobError, match="one and the same cache volume"):
        ours.perform(None)


@pytest.fixture
def in_cluster(api, template, monkeypatch):
    monkeypatch.setattr("pipelines.trainjobs.nodes.connect", lambda _: api.cluster())
    monkeypatch.setenv("HOSTNAME", "step-1")
    api.put(PODS, step_pod())
    monkeypatch.setenv(VARIABLE, template.written())


def test_a_step_that_is_given_up_takes_its_train_job_along(in_cluster, api):
    api.put(JOBS, train_job())
    abandon()
    assert api.deleted == [f"{JOBS}/{NAME}"]


def test_a_train_job_that_cannot_be_deleted_is_told(in_cluster, api, capsys):
    api.refused[f"{JOBS}/{NAME}"] = 403
    abandon()
    assert "may go on: it could not be deleted" in capsys.readouterr().out


def test_other_steps_have_none(in_cluster, api, monkeypatch):
    monkeypatch.delenv(VARIABLE)
    abandon()
    assert api.deleted == []
