"""TrainJobs by the real controllers: weights, restarts, their bound, a step that begins again, a stop."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pipelines.trainjobs.following import TrainJobError
from saga.encoders.retriever import Retriever
from saga.errors import UserInputError
from saga.training.trainer import train
from tests.cluster.cluster import wait_for
from tests.cluster.desk import Desk
from tests.cluster.jobs import conditions, evict
from tests.cluster.trainer.bench import STRICT, Bench, arm, strict
from tests.cluster.trainer.conftest import GROUP, runtime
from tests.cluster.trainer.jobs import job_sets, member, members, names, placed, train_jobs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Stopped(Exception):  # noqa: N818
    """The test has seen enough."""


@pytest.fixture(scope="module")
def bench(desk: Desk, spread: Path) -> Iterator[Bench]:
    path = f"{GROUP}/namespaces/{desk.space}/trainingruntimes"
    desk.cluster.api.create(path, strict(runtime(desk.space)))
    return Bench(desk, spread)


@pytest.fixture(autouse=True)
def ends(bench: Bench) -> Iterator[None]:
    """Trainings of a test are over with it."""
    yield
    bench.end_all()


@pytest.fixture(scope="module")
def one(bench: Bench) -> Retriever:
    """By one process."""
    return train(arm(), bench.birds, bench.pairs)[0]


def same_weights(ours: Retriever, theirs: Retriever) -> bool:
    left, right = ours.state_dict(), theirs.state_dict()
    assert left.keys() == right.keys() and left
    return all(torch.allclose(right[n], left[n], atol=1e-5, rtol=1e-5) for n in left)


def of(desk: Desk, name: str):
    return [job for job in train_jobs(desk) if job["metadata"]["name"] == name]


def test_neither_a_step_that_begins_again_nor_lost_pods_change_the_weights(bench, one, desk):
    step, lost = bench.step(runtime=STRICT), []

    def die(at):
        raise Stopped

    def lose(at):
        """Evict in the first start, kill in the second; one restart is all that is counted."""
        start = len([line for line in step.said if "begins anew" in line])
        if len(lost) > start or start > 1:
            return
        pod = member(desk, step.name, 1 - start, attempt=start)
        evict(desk.cluster, pod) if start == 0 else desk.cluster.kill(pod)
        lost.append(at.step)

    with pytest.raises(Stopped):
        step.train(at=die)
    (before,) = of(desk, step.name)
    assert same_weights(step.train(at=lose), one)
    assert len(lost) == 2 and step.steps[-1] == 10
    (job,) = of(desk, step.name)
    assert before["metadata"]["uid"] == job["metadata"]["uid"]
    assert step.said.count(f"TrainJob {step.name}: found again, 2 nodes × 1 processes") == 1
    assert conditions(job["status"])["Complete"] == "True"
    pods = members(desk, step.name)
    assert sorted(map(placed, pods)) == [("gpu-many-0", 1), ("gpu-many-1", 1)]
    (kept,) = step.remembered
    assert (kept["uid"], kept["nodes"], kept["starts"]) == (job["metadata"]["uid"], 2, 3), step.said


def test_pods_that_are_killed_again_and_again_end_it_with_the_reason(bench, desk):
    step, killed = bench.step(runtime=STRICT), set()

    def kill(at):
        start = len([line for line in step.said if "begins anew" in line])
        if start not in killed:
            killed.add(start)
            desk.cluster.kill(member(desk, step.name, 1, attempt=start))

    with pytest.raises(TrainJobError) as error:
        step.train(at=kill)
    assert killed == {0, 1}
    assert str(error.value).startswith(f"the TrainJob {step.name} failed: ")
    assert "exit code 137" in str(error.value)
    # The step's next pod does not begin it again.
    with pytest.raises(TrainJobError, match="failed"):
        step.train()
    assert len(of(desk, step.name)) == 1


def test_wrong_input_is_not_tried_again(bench, desk):
    step = bench.step()
    with pytest.raises(UserInputError, match="classes_per_batch is 99"):
        step.train(classes_per_batch=99)
    assert not any("begins anew" in line for line in step.said)
    wait_for(lambda: not of(desk, step.name), "the TrainJob to go")


def test_too_few_nodes_are_told_and_a_stop_leaves_nothing(bench, desk):
    step = bench.step()

    def enough(line):
        if "The training waits" in line and "; 2 are free" in line:  # what ran before may still go
            raise Stopped(line)

    name = step.name
    with pytest.raises(Stopped) as told:
        step.train(act=enough, nodes=3)
    line = str(told.value)
    assert "it wants 3 nodes of the pool gpu-many with 1 nvidia.com/gpu each (3 in all)" in line
    assert "2 are free (2 nvidia.com/gpu)" in line and "Insufficient nvidia.com/gpu" in line
    assert members(desk, name) and of(desk, name)
    bench.end(step)
    wait_for(lambda: not of(desk, name), "the TrainJob to go", 120)
    wait_for(lambda: not members(desk, name), "its pods to go", 120)
    wait_for(lambda: name not in names(job_sets(desk)), "its JobSet to go", 60)


def test_a_runtime_that_is_not_there_is_named(bench):
    step = bench.step(runtime="nobodys")
    with pytest.raises(UserInputError, match="does the runtime nobodys exist"):
        step.train()
