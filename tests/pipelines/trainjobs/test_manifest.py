"""The TrainJob that a step asks for."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.trainjobs.manifest import DIGEST, FIRST, LONGEST, manifest, name_of
from pipelines.trainjobs.owner import Owner
from pipelines.trainjobs.template import VARIABLE, Template, given
from tests.pipelines.trainjobs.objects import NAME, RUN

OWNER = Owner(RUN, "train_saga", "saga-1", "j-1")
FOLDER = Path("/cache/saga/checkpoints/saga-0/x")


def made(template, **changes):
    return manifest(
        template, **({"owner": OWNER, "folder": FOLDER, "nodes": 2, "processes": 1} | changes)
    )


def test_the_name_is_of_run_and_step_and_fits():
    assert name_of(RUN, "train_saga") == NAME
    long = name_of(RUN, "train_" + "very_" * 20 + "long")
    assert len(long) <= LONGEST and long != name_of(RUN, "train_" + "very_" * 20 + "wide")
    assert not long.endswith("-")


def test_it_asks_for_nodes_processes_and_what_a_pod_of_the_pool_takes(template):
    trainer = made(template, processes=8)["spec"]["trainer"]
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (2, 8)
    assert trainer["resourcesPerNode"]["limits"]["nvidia.com/gpu"] == "1"
    assert trainer["command"][-4:] == ["python", "-m", "saga.training.launch", str(FOLDER)]
    assert trainer["image"] == template.image


def test_its_pods_run_on_the_pool_and_see_its_volumes(template):
    (override,) = made(template)["spec"]["podSpecOverrides"]
    assert override["nodeSelector"] == {"saga.dev/pool": "gpu-train"}
    assert [t["key"] for t in override["tolerations"]] == ["nvidia.com/gpu"]
    names = {volume["name"] for volume in override["volumes"]}
    (container,) = override["containers"]
    seen = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert names == set(seen) and seen["cache"] == "/cache" and seen["shm"] == "/dev/shm"
    assert "env" not in container  # Trainer refuses it there


def test_its_pods_get_no_token_of_zenml_and_no_account_with_rights(template):
    item = made(template)
    names = {entry["name"] for entry in item["spec"]["trainer"]["env"]}
    assert "SAGA_HOME" in names and not any("TOKEN" in n or "API_KEY" in n for n in names)
    assert item["spec"]["podSpecOverrides"][0]["serviceAccountName"] == "saga-step"


def test_it_goes_with_the_job_of_the_step(template):
    (reference,) = made(template)["metadata"]["ownerReferences"]
    assert reference == {"apiVersion": "batch/v1", "kind": "Job", "name": "saga-1", "uid": "j-1"}
    assert made(template)["metadata"]["labels"] == {"run_id": RUN, "step_name": "train_saga"}


def test_the_digest_is_that_of_what_is_asked_for_alone(template):
    def digest(**changes):
        return made(template, **changes)["metadata"]["annotations"][DIGEST]

    assert digest() == digest(owner=Owner(RUN, "train_saga", "saga-2", "j-2"))
    assert len({digest(), digest(nodes=3), digest(processes=2), digest(folder=Path("/y"))}) == 4


def test_a_queue_is_a_label(tmp_path):
    from pipelines.stacks.pools import train_job_template
    from tests.pipelines.stacks import stacks

    stack = stacks.stack(tmp_path, {"trainer": {"queue": "default"}})
    labels = made(train_job_template(stack))["metadata"]["labels"]
    assert labels["kueue.x-k8s.io/queue-name"] == "default"


def test_a_template_travels_in_the_environment(template):
    assert given({VARIABLE: template.written()}) == template
    assert isinstance(given({VARIABLE: template.written()}), Template)
    assert given({}) is None


@pytest.mark.parametrize("step", ["train_saga", "train_Dml.Only", "train__x"])
def test_names_are_names_of_kubernetes(step):
    import re

    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name_of(RUN, step))


@pytest.mark.parametrize(
    ("child", "told", "code"),
    [
        ("print('up', flush=True); import time; time.sleep(60)", True, 143),
        ("import signal as s; s.signal(15, lambda *_: exit(5)); print('up', flush=True); s.pause()", True, 5),
        ("import sys; print('up', flush=True); sys.exit(3)", False, 3),
        ("import os; print('up', flush=True); os.kill(os.getpid(), 9)", False, 137),
    ],
)  # fmt: skip
def test_a_containers_first_process_hands_signals_on_and_ends_as_its_child(child, told, code):
    command = ["sh", "-c", FIRST, "sh", sys.executable, "-c", child]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None and first.stdout.readline() == b"up\n"
        if told:
            first.send_signal(signal.SIGTERM)
        assert first.wait(30) == code
