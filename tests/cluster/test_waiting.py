"""What a cluster cannot give reaches the user, and what the user stops is gone."""

from collections.abc import Callable, Iterator

import pytest

from pipelines.answer import INPUT, INTERRUPTED
from tests.cluster.agent.node import GPU
from tests.cluster.api import Object
from tests.cluster.cluster import Cluster, wait_for
from tests.cluster.desk import CONFIG, RUN, Command, Desk, desk_at
from tests.cluster.jobs import conditions, job, jobs, pod_in
from tests.cluster.naming import OURS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

KEPT_MINUTES = 1
QUOTA = "few-gpus"


@pytest.fixture(scope="module")
def desk(pools: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with desk_at(pools, "saga-waits", tmp_path_factory.mktemp("waits") / "desk") as made:
        yield made


def submitted(desk: Desk) -> Command:
    """A run whose first step asks for an accelerator."""
    steps = OURS.stack()["steps"] | {"load_dataset": OURS.judge}
    kept = {"keep_finished_minutes": KEPT_MINUTES, "poll_seconds": 1.0}
    stack = desk.stack("waits", steps=steps, jobs=kept)
    return desk.start("run", str(CONFIG), "--stack", str(stack))


def stopped(desk: Desk, command: Command) -> None:
    """Ctrl-C ends the command and every pod of the run."""
    command.interrupt()
    ended = command.end()
    assert ended.code == INTERRUPTED, ended.said
    assert "The run was told to stop there too" in ended.said
    wait_for(lambda: all(over(item) for item in of_runs(desk.jobs())), "its Jobs to end", 180)
    assert {pod["status"]["phase"] for pod in of_runs(desk.pods())} <= {"Succeeded", "Failed"}


def of_runs(items: list[Object]) -> list[Object]:
    """Without the tests' own."""
    return [item for item in items if RUN in item["metadata"].get("labels", {})]


def over(item: Object) -> bool:
    held = conditions(item["status"])
    return "True" in (held.get("Complete"), held.get("Failed"))


@pytest.fixture
def quota(pools: Cluster, desk: Desk) -> Iterator[Callable[[int], None]]:
    """Limits the accelerators of the namespace."""
    path = f"/api/v1/namespaces/{desk.space}/resourcequotas"

    def limit(accelerators: int) -> None:
        hard = {f"requests.{GPU}": str(accelerators)}
        body = {"metadata": {"name": QUOTA}, "spec": {"hard": hard}}
        if pools.api.find(f"{path}/{QUOTA}") is None:
            pools.api.create(path, body)
        else:
            pools.api.patch(f"{path}/{QUOTA}", body)
        wait_for(
            lambda: pools.api.get(f"{path}/{QUOTA}")["status"].get("hard") == hard, "the quota"
        )

    yield limit
    pools.api.delete(f"{path}/{QUOTA}")


def test_a_quota_that_never_suffices_is_told_before_submission(desk, quota):
    quota(0)
    ended = submitted(desk).end()
    assert ended.code == INPUT
    assert f"accelerator.count: A pod asks for 1 of requests.{GPU}, but the quota" in ended.said
    assert not of_runs(desk.jobs())


def test_an_image_without_saga_is_told_before_submission(desk):
    stack = desk.stack("bare", image="registry.example.com/bare:1")
    for command in (["run", str(CONFIG), "--stack", str(stack)], ["stack", "check", str(stack)]):
        ended = desk.run(*command)
        assert ended.code == INPUT
        said = ended.said + ended.out
        assert "image: registry.example.com/bare:1 does not hold this version of saga" in said
        assert "No module named 'pipelines'" in said
    assert not of_runs(desk.jobs())


def test_an_image_that_cannot_be_pulled_is_told_before_submission(desk):
    stack = desk.stack("absent", image="registry.example.com/absent:1")
    ended = desk.run("run", str(CONFIG), "--stack", str(stack))
    assert ended.code == INPUT
    assert "image: A pod of registry.example.com/absent:1 cannot start (" in ended.said
    assert not of_runs(desk.jobs())


def test_a_run_says_what_it_waits_for_until_it_is_stopped(pools, desk, quota):
    quota(2)
    pools.api.create(jobs(desk.space), job("holds", "sleep 900", pool=OURS.judge, gpus=2))
    pod_in(pools, desk.space, "holds", "Running")
    command = submitted(desk)
    assert f"exceeded quota: {QUOTA}" in command.says("load_dataset waits (FailedCreate)")
    quota(9)
    assert f"Insufficient {GPU}" in command.says("load_dataset waits (Unschedulable)")
    stopped(desk, command)


def test_finished_jobs_and_their_pods_go_after_their_time(desk):
    wait_for(
        lambda: not of_runs(desk.jobs()) and not of_runs(desk.pods()),
        "them to go",
        60 * KEPT_MINUTES + 60,
    )
