"""The main job on a cluster: one definition, two places; and what a cluster does to it.

All runs are made from one desk: what the first has made, the later ones find cached, so that each of them
trains one encoder and judges it.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.api import Object
from tests.cluster.cluster import Cluster, wait_for
from tests.cluster.desk import CONFIG, Desk, Ended, accelerators, desk_at, step_of
from tests.cluster.jobs import conditions, evict, log
from tests.cluster.naming import OTHERS, OURS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

OUTAGE_SECONDS = 30.0
TRAINED = re.compile(r"^train saga: (\d+) of 8", re.MULTILINE)


@pytest.fixture(scope="module")
def desk(pools: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with desk_at(pools, "saga-runs", tmp_path_factory.mktemp("runs") / "desk") as made:
        yield made


@pytest.fixture(scope="module")
def elsewhere(desk: Desk) -> Desk:
    """The same without a cluster: another folder, so that nothing is shared."""
    folder = desk.folder.parent / "alone"
    folder.mkdir()
    return Desk(desk.cluster, desk.space, folder, desk.kubeconfig)


@pytest.fixture(scope="module")
def alone(elsewhere: Desk) -> Ended:
    """The run on this machine."""
    return elsewhere.run("run", str(CONFIG), "--json")


@pytest.fixture(scope="module")
def whole(desk: Desk) -> tuple[Ended, list[Object], list[Object]]:
    """The run on the cluster; its pods and its Jobs."""
    ended = desk.run("run", str(CONFIG), "--stack", str(desk.stack("loopback")), "--json")
    return ended, desk.pods(), desk.jobs()


def seeded(seed: int) -> list[str]:
    """Another training of the same pairs."""
    return ["run", str(CONFIG), "--json", "--set", f"training.seed={seed}"]


def judged(ended: Ended) -> dict[str, Any]:
    """What was measured of each encoder."""
    return {name: found["metrics"] for name, found in ended.summary["methods"].items()}


def test_the_result_is_that_of_one_machine(whole, alone):
    ended, *_ = whole
    assert ended.code == alone.code, ended.said
    made = {name: found["digest"] for name, found in alone.summary["artifacts"].items()}
    for name in ("manifest", "pairs", "encoder_dml", "encoder_saga"):
        assert ended.digest(name) == made[name], name
    assert judged(ended) == judged(alone)
    assert ended.summary["gate"]["passed"] == alone.summary["gate"]["passed"]


def test_every_step_runs_on_its_pool_and_accelerators_are_where_they_are_asked_for(whole):
    _, pods, _ = whole
    placed = {step_of(pod): (pod["spec"]["nodeName"], accelerators(pod)) for pod in pods}
    trained = {place for step, place in placed.items() if step.startswith("train_")}
    judged = {
        place
        for step, place in placed.items()
        if step.startswith(("evaluate_", "measure_")) or step == "untrained_encoder"
    }
    others = {
        placed[step]
        for step in ("orchestrator", "load_dataset", "validate_dataset", "gate_candidate")
    }
    assert trained == {(f"{OURS.train}-0", 1)}
    assert judged == {(f"{OURS.judge}-0", 1)}
    assert others == {(f"{OURS.plain}-0", 0)}


def test_every_job_ends_well_at_the_first_try(whole):
    *_, jobs = whole
    assert {conditions(item["status"]).get("Complete") for item in jobs} == {"True"}
    assert sum(item["status"].get("failed", 0) for item in jobs) == 0


def test_what_pods_say_reaches_the_user(whole):
    ended, *_ = whole
    assert "train_saga | train saga: 8 of 8" in ended.said
    assert re.search(r"run on loopback: \d+ of \d+", ended.said)


def test_an_evicted_training_resumes_on_pools_of_any_name_and_burns_no_retry(
    desk, whole, elsewhere, alone
):
    stack = desk.stack("renamed", OTHERS, jobs={"retries": 0, "poll_seconds": 1.5})
    command = desk.start(*seeded(1), "--stack", str(stack))
    first = desk.running("train_saga")
    wait_for(lambda: checkpoints(desk), "a checkpoint", 120)
    evict(desk.cluster, first)
    ended = command.end()
    undisturbed = elsewhere.run(*seeded(1))
    assert ended.code == undisturbed.code, ended.said
    assert ended.digest("encoder_saga") == undisturbed.digest("encoder_saga")
    last = desk.pods("train_saga")[-1]
    assert last["metadata"]["uid"] != first["metadata"]["uid"]
    assert (last["spec"]["nodeName"], accelerators(last)) == (f"{OTHERS.train}-0", 1)
    assert int(TRAINED.findall(log(desk.cluster, last))[0]) > 1  # not from the beginning
    assert desk.job(last)["status"].get("failed", 0) == 0


def test_a_run_outlives_its_orchestrators_pod_and_an_outage_of_the_api_server(
    desk, whole, elsewhere, alone
):
    stack = desk.stack("loopback")
    command = desk.start(*seeded(2), "--stack", str(stack))
    desk.running("train_saga")
    orchestrator = desk.running("orchestrator")
    desk.cluster.kill(orchestrator)
    desk.cluster.plane.restart_api_server(OUTAGE_SECONDS)
    ended = command.end()
    assert "No answer from the cluster" in ended.said
    assert "The cluster answers again." in ended.said
    undisturbed = elsewhere.run(*seeded(2))
    assert ended.code == undisturbed.code, ended.said
    assert ended.digest("encoder_saga") == undisturbed.digest("encoder_saga")


def checkpoints(desk: Desk) -> bool:
    """Whether a training has written one that it still needs."""
    return any(desk.cache.glob("saga/checkpoints/saga-*/*"))
