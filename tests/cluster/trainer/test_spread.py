"""The main job with a training on two nodes: one machine's weights, one TrainJob in the lineage.

What happens to TrainJobs themselves is in test_trainjobs.py.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.cluster.cluster import wait_for
from tests.cluster.desk import CONFIG, PROJECT, Command, Desk, Ended
from tests.cluster.jobs import conditions
from tests.cluster.trainer.jobs import job_sets, members, newest, placed, train_jobs, two_nodes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

# The paper's: rounding errors grow with them.
RATES = {"training.optimizer.encoder_lr": 2e-5, "training.optimizer.pooler_lr": 1e-4}
# What a step's own record holds, read where the run was submitted.
RECORD = """
import json, sys
from pipelines.home import use_embedded_zenml
use_embedded_zenml()
from zenml.client import Client
run = Client().get_pipeline_run(sys.argv[1])
found = {name: step.run_metadata.get("saga_train_job") for name, step in run.steps.items()}
print(json.dumps({name: facts for name, facts in found.items() if facts}))
"""


@pytest.fixture(scope="module")
def begun(desk: Desk) -> tuple[Command, Path]:
    """The run on one machine, by one process, and its folder; it goes on beside the other."""
    folder = desk.folder.parent / "alone"
    folder.mkdir()
    here = Desk(desk.cluster, desk.space, folder, desk.kubeconfig)
    given = [word for key, value in RATES.items() for word in ("--set", f"{key}={value}")]
    return here.start("run", str(CONFIG), "--json", *given), folder


@pytest.fixture(scope="module")
def alone(begun: tuple[Command, Path]) -> tuple[Ended, Path]:
    """The same at its end."""
    command, folder = begun
    return command.end(), folder


@pytest.fixture(scope="module")
def whole(desk: Desk, spread: Path, begun: tuple[Command, Path]) -> Ended:
    """A run whose training step loses its own pod."""
    command = desk.start("run", str(CONFIG), "--stack", str(spread), "--json", *two_nodes(**RATES))
    command.says("train_saga | train saga: ")
    desk.cluster.kill(desk.running("train_saga"))
    return command.end()


def weights(folder: Path, arm: str) -> dict[str, torch.Tensor]:
    """Of the one encoder of an arm that a desk's store holds."""
    (path,) = [p for p in folder.rglob("*.safetensors") if f"encoder_{arm}" in str(p)]
    return load_file(path)


def recorded(desk: Desk, run: str) -> dict[str, Any]:
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(PROJECT), "HOME": str(desk.folder)}
    said = subprocess.run(
        [sys.executable, "-c", RECORD, run],
        cwd=desk.folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert said.returncode == 0, said.stderr
    found: dict[str, Any] = json.loads(said.stdout.splitlines()[-1])
    return found


def test_the_weights_are_those_of_one_process(whole, alone, desk):
    local, folder = alone
    assert whole.code == local.code, whole.said
    ours, theirs = weights(desk.folder, "saga"), weights(folder, "saga")
    assert ours.keys() == theirs.keys() and ours
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, atol=1e-5, rtol=1e-5, msg=name)


def test_progress_and_the_end_of_the_steps_pod_reach_the_user(whole):
    assert "train_saga | TrainJob saga-" in whole.said and ": made, 2 nodes × 1" in whole.said
    assert ": found again, 2 nodes × 1" in whole.said
    assert "train_saga | train saga: 8 of 8" in whole.said


def test_one_train_job_trained_on_two_nodes(whole, desk):
    (job,) = train_jobs(desk)
    assert conditions(job["status"])["Complete"] == "True"
    where = [placed(pod) for pod in members(desk, job["metadata"]["name"])]
    assert sorted(where) == [("gpu-many-0", 1), ("gpu-many-1", 1)]
    assert len(job_sets(desk)) == 1


def test_the_step_remembers_its_train_job(whole, desk):
    (job,) = train_jobs(desk)
    found = recorded(desk, whole.summary["run_id"])
    assert list(found) == ["train_saga"]
    assert found["train_saga"]["uid"] == job["metadata"]["uid"]
    assert (found["train_saga"]["nodes"], found["train_saga"]["starts"]) == (2, 1)


def test_the_steps_own_pod_takes_no_accelerator(whole, desk):
    own = [p for p in desk.pods("train_saga") if p["spec"]["serviceAccountName"] == "saga-training"]
    assert len(own) == 2 and {placed(pod) for pod in own} == {("cpu-0", 0)}


def test_ctrl_c_leaves_nothing(whole, desk, spread):
    # The candidate alone is another, and takes long.
    theirs = {"baseline.seed": 0, "baseline.steps": 8} | RATES
    again = two_nodes(**{"training.seed": 9, "training.steps": 400} | theirs)
    command = desk.start("run", str(CONFIG), "--stack", str(spread), "--json", *again)
    command.says("train_saga | train saga: ")
    name = newest(desk)
    command.interrupt()
    command.end()
    wait_for(lambda: not members(desk, name), "its pods to go", 180)
    wait_for(lambda: name not in [j["metadata"]["name"] for j in train_jobs(desk)], "it to go", 60)
    assert name not in [item["metadata"]["name"] for item in job_sets(desk)]
