"""What a cluster cannot give reaches the user, and what the user stops is gone."""

import signal
from collections.abc import Iterator

import pytest

from tests.cluster.agent.node import GPU
from tests.cluster.api import Object
from tests.cluster.cluster import Cluster, wait_for
from tests.cluster.desk import CONFIG, Command, Desk, desk_at
from tests.cluster.jobs import conditions, job, jobs, pod_in
from tests.cluster.naming import OURS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

INTERRUPTED = 128 + signal.SIGINT
KEPT_MINUTES = 1


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
    wait_for(lambda: all(over(item) for item in desk.jobs()), "all Jobs to be over")
    assert not [pod for pod in desk.pods() if pod["status"]["phase"] in ("Pending", "Running")]


def over(item: Object) -> bool:
    held = conditions(item["status"])
    return "True" in (held.get("Complete"), held.get("Failed"))


def test_without_a_free_gpu_the_step_waits_and_says_so_until_it_is_stopped(pools, desk, space):
    pools.api.create(jobs(space), job("holds", "sleep 600", pool=OURS.judge, gpus=1))
    pod_in(pools, space, "holds", "Running")
    command = submitted(desk)
    said = command.says("load_dataset waits (")
    assert f"Insufficient {GPU}" in said
    stopped(desk, command)


def test_a_quota_that_is_used_up_reaches_the_user(pools, desk):
    quotas = f"/api/v1/namespaces/{desk.space}/resourcequotas"
    quota = {"metadata": {"name": "no-gpus"}, "spec": {"hard": {f"requests.{GPU}": "0"}}}
    pools.api.create(quotas, quota)
    wait_for(lambda: pools.api.get(f"{quotas}/no-gpus")["status"].get("hard"), "the quota")
    command = submitted(desk)
    said = command.says("load_dataset waits (FailedCreate)")
    assert "exceeded quota: no-gpus" in said
    stopped(desk, command)
    pools.api.delete(f"{quotas}/no-gpus")


def test_finished_jobs_and_their_pods_go_after_their_time(desk):
    wait_for(lambda: not desk.jobs() and not desk.pods(), "them to go", 60 * KEPT_MINUTES + 60)
