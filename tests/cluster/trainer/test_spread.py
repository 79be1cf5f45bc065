"""The main job with a training on two nodes: one machine's weights, one TrainJob in the lineage.

What happens to TrainJobs themselves is in test_trainjobs.py.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines.answer import REFUSED
from pipelines.configuration import load_run_config
from saga.data.manifest import DatasetManifest
from saga.encoders.retriever import Retriever
from saga.mining.pairs import PairSet
from saga.training.trainer import train
from tests.cluster.cluster import wait_for
from tests.cluster.desk import CONFIG, PROJECT, Desk, Ended
from tests.cluster.jobs import conditions
from tests.cluster.trainer.jobs import (
    job_sets,
    members,
    names,
    newest,
    placed,
    train_jobs,
    two_nodes,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

# The paper's: rounding errors grow with them.
RATES = {"training.optimizer.encoder_lr": 2e-5, "training.optimizer.pooler_lr": 1e-4}
SMALLER = {
    "dataset.synthetic.images_per_class": 4,
    "dataset.synthetic.test_classes": 6,
    "mining.pairs": 60,
}
SETTINGS = RATES | SMALLER
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
def whole(desk: Desk, spread: Path) -> Ended:
    """A run whose training step loses its own pod."""
    command = desk.start(
        "run", str(CONFIG), "--stack", str(spread), "--json", *two_nodes(**SETTINGS)
    )
    command.says("train_saga | train saga: ")
    desk.cluster.kill(desk.running("train_saga"))
    return command.end()


@pytest.fixture(scope="module")
def alone(desk: Desk, whole: Ended) -> Retriever:
    """What one process makes of the same images and pairs."""
    assert whole.code in (0, REFUSED), whole.said
    manifest = DatasetManifest.load(stored(desk, "load_dataset", "manifest"))
    here = desk.cache / manifest.root.relative_to("/cache")
    arm = load_run_config(
        CONFIG, [f"{key}={value}" for key, value in SETTINGS.items()]
    ).candidate_arm
    pairs = PairSet.load(stored(desk, "mine_pairs", "pairs"))
    encoder, _ = train(arm, manifest.with_root(here), pairs)
    return encoder


def stored(desk: Desk, step: str, artifact: str) -> Path:
    """The content of the one artifact of that name in a desk's store."""
    (found,) = desk.folder.glob(f".saga/zenml/local_stores/*/{step}/{artifact}/*/*/content")
    return found


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


def test_the_weights_are_those_of_one_process(whole, alone, desk, record_property):
    ours = Retriever.load(stored(desk, "train_saga", "encoder_saga")).state_dict()
    theirs = alone.state_dict()
    assert ours.keys() == theirs.keys() and ours
    most = max(float((ours[name] - value).abs().max()) for name, value in theirs.items())
    record_property("largest difference of a weight", most)
    assert most <= 1e-5


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
    theirs = {"baseline.seed": 0, "baseline.steps": 8} | SETTINGS
    again = two_nodes(**{"training.seed": 9, "training.steps": 400} | theirs)
    stack = json.loads(spread.read_text())
    stack["jobs"]["image_check_minutes"] = 0  # the run before has looked at it
    looked_at = spread.with_name("looked-at.yaml")
    looked_at.write_text(json.dumps(stack))
    command = desk.start("run", str(CONFIG), "--stack", str(looked_at), "--json", *again)
    command.says("train_saga | TrainJob ")
    name = newest(desk)
    command.interrupt()
    command.end()
    wait_for(lambda: not members(desk, name), "its pods to go", 180)
    wait_for(lambda: name not in names(train_jobs(desk)), "it to go", 60)
    wait_for(lambda: name not in names(job_sets(desk)), "its JobSet to go", 60)
