"""Two machines train what one does; here both are this one, each with its own launcher."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from saga.errors import RefusedError, UserInputError
from saga.files import write_json
from saga.training.configuration import DistributedConfig
from saga.training.processes import progress_of, result_of, train_arm, write_training
from saga.training.trainer import train
from tests.training.made import EMBEDDED, made_arm, made_pairs

PROJECT = Path(__file__).parents[2]
SETTINGS = {"steps": 3, "classes_per_batch": 5, "images_per_class": 3, "pairs_per_round": 7}


def arm(nodes=1, **changes):
    config = made_arm(EMBEDDED, **SETTINGS | changes)
    spread = DistributedConfig(processes_per_node=1, nodes=nodes)
    return replace(config, training=replace(config.training, distributed=spread))


class TwoMachines:
    """Starts a launcher for each of two machines."""

    def __init__(self, folder):
        self.folder, self.codes = folder, []

    def perform(self, progress):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        machines = [self._machine(node, port) for node in (0, 1)]
        said = [machine.communicate(timeout=240)[0] for machine in machines]
        self.codes = [machine.returncode for machine in machines]
        assert self.codes in ([0, 0], [2, 2]), said
        for line in said[0].splitlines():
            at = progress_of(line)
            if at is not None and progress is not None:
                progress(at)

    def _machine(self, node, port):
        """As Kubeflow Trainer starts it."""
        told = {
            "PET_NNODES": "2",
            "PET_NPROC_PER_NODE": "1",
            "PET_NODE_RANK": str(node),
            "PET_MASTER_ADDR": "127.0.0.1",
            "PET_MASTER_PORT": str(port),
            "PET_RDZV_CONF": "timeout=120",
        }
        return subprocess.Popen(
            [sys.executable, "-m", "saga.training.launch", str(self.folder)],
            cwd=PROJECT,
            env=os.environ | told,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def test_two_machines_end_with_the_weights_of_one(birds, tmp_path):
    pairs, steps = made_pairs(birds, "stratified"), []
    machines = TwoMachines(tmp_path / "shared")
    two, history = train_arm(
        arm(2),
        birds,
        pairs,
        checkpoint_folder=tmp_path / "checkpoints",
        progress=lambda at: steps.append(at.step),
        nodes=machines,
    )
    one, _ = train(arm(), birds, pairs)
    assert one.state_dict().keys() == two.state_dict().keys()
    for name, value in one.state_dict().items():
        torch.testing.assert_close(two.state_dict()[name], value, atol=1e-5, rtol=1e-5, msg=name)
    assert steps == [1, 2, 3] and len(history.frame) == 3
    # Once more from the last checkpoint, as a group does that was ended just before its end.
    machines.perform(None)
    again, _ = result_of(machines.folder)
    assert machines.codes == [0, 0]
    for name, value in two.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_wrong_input_ends_both_machines_with_its_code(birds, tmp_path):
    machines = TwoMachines(tmp_path / "shared")
    with pytest.raises(UserInputError, match="classes_per_batch is 9, but there are 5"):
        train_arm(arm(2, classes_per_batch=9), birds, made_pairs(birds), nodes=machines)
    assert machines.codes == [2, 2]


def test_one_machine_cannot_be_several(birds):
    with pytest.raises(UserInputError, match=r"distributed\.nodes is 2, but this is one machine"):
        train_arm(arm(2), birds, made_pairs(birds))


def test_what_is_written_down_stays_for_a_step_that_begins_again(birds, tmp_path):
    pairs = made_pairs(birds)
    write_training(tmp_path, arm(2), birds, pairs, provenance={"code": "a"})
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    write_training(tmp_path, arm(2), birds, pairs, provenance={"code": "b"})
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert json.loads((tmp_path / "arm.json").read_text())["provenance"] == {"code": "a"}


@pytest.mark.parametrize("kind", [UserInputError, RefusedError])
def test_what_a_process_met_is_raised_as_it_was(tmp_path, kind):
    write_json(tmp_path / "failure.json", {"kind": kind.__name__, "message": "because"})
    with pytest.raises(kind, match="because"):
        result_of(tmp_path)
