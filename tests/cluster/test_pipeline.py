"""The main job on a cluster: one definition, two places; and what a cluster does to it.

All runs are made from one desk, so that the second finds cached what the first has made.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.api import Object
from tests.cluster.cluster import Cluster
from tests.cluster.desk import CONFIG, RUN, Desk, Ended, accelerators, desk_at, step_of
from tests.cluster.jobs import conditions, evict, log
from tests.cluster.naming import OTHERS, OURS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

OUTAGE_SECONDS = 30.0
SEEDED = (str(CONFIG), "--json", "--set", "training.seed=1")
TIMES = ("train_seconds", "wait_share")
Whole = tuple[Ended, list[Object], list[Object]]
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
def whole(desk: Desk) -> Whole:
    """The run on the cluster; its pods and its Jobs."""
    ended = desk.run("run", str(CONFIG), "--stack", str(desk.stack("loopback")), "--json")
    return ended, desk.pods(), desk.jobs()


def judged(ended: Ended) -> dict[str, Any]:
    """What was measured of each encoder; not how long it took."""
    return {
        name: {key: value for key, value in found.items() if key not in TIMES}
        for name, found in ended.summary["methods"].items()
    }


def test_the_result_is_that_of_one_machine(whole, alone):
    ended, *_ = whole
    assert ended.code == alone.code, ended.said
    made = {name: found["digest"] for name, found in alone.summary["artifacts"].items()}
    for name in ("manifest", "pairs", "encoder_dml", "encoder_saga"):
        assert ended.digest(name) == made[name], name
    assert judged(ended) == judged(alone)
    assert ended.summary["gate"]["status"] == alone.summary["gate"]["status"]


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


def test_images_that_only_pods_see_are_left_out_of_the_report_with_a_word(whole):
    ended, *_ = whole
    assert "report.html shows no images: they are in /cache/saga/data/" in ended.said


@pytest.fixture(scope="module")
def undisturbed(elsewhere: Desk, alone: Ended) -> Ended:
    """Another training of the same pairs, on this machine."""
    return elsewhere.run("run", *SEEDED)


@dataclass(frozen=True)
class Battered:
    """The same training on the cluster, and what was done to it."""

    ended: Ended
    evicted: Object
    """Pod of the training that was taken away."""
    trained: Object
    """The one that came after it."""
    orchestrators: list[Object]
    """Pods that started the steps; the first was killed."""


@pytest.fixture(scope="module")
def battered(desk: Desk, whole: Whole) -> Battered:
    """Pools by other names. Its training is evicted, its orchestrator killed, its API server stopped."""
    stack = desk.stack("loopback", OTHERS)
    before = checkpoints(desk)
    command = desk.start("run", *SEEDED, "--stack", str(stack))
    command.until(lambda: checkpoints(desk) - before, "the training has a checkpoint")
    evicted = desk.running("train_saga")
    evict(desk.cluster, evicted)
    trained = command.until(lambda: desk.running("train_saga", evicted), "the training goes on")
    command.until(lambda: ended_well(desk, trained), "the training ends")
    desk.cluster.kill(desk.running("orchestrator"))
    desk.cluster.plane.restart_api_server(OUTAGE_SECONDS)
    ended = command.end()
    run = trained["metadata"]["labels"][RUN]
    orchestrators = [p for p in desk.pods("orchestrator") if p["metadata"]["labels"][RUN] == run]
    return Battered(ended, evicted, desk.again(trained), orchestrators)


def test_an_evicted_training_resumes_and_ends_with_the_same_weights(desk, battered, undisturbed):
    assert battered.ended.code == undisturbed.code, battered.ended.said
    assert battered.ended.digest("encoder_saga") == undisturbed.digest("encoder_saga")
    said = log(desk.cluster, battered.trained)
    assert int(TRAINED.findall(said)[0]) > 1  # not from the beginning


def test_an_eviction_burns_no_retry(desk, battered):
    assert battered.trained["metadata"]["uid"] != battered.evicted["metadata"]["uid"]
    assert desk.job(battered.trained)["status"].get("failed", 0) == 0


def test_pools_of_any_name_label_taint_and_resource_are_found(battered):
    pod = battered.trained
    assert (pod["spec"]["nodeName"], accelerators(pod)) == (f"{OTHERS.train}-0", 1)


def test_a_run_outlives_its_orchestrators_pod(battered, undisturbed):
    assert len(battered.orchestrators) > 1
    assert judged(battered.ended) == judged(undisturbed)


def test_a_run_outlives_an_outage_of_the_api_server(battered):
    assert "No answer from the cluster" in battered.ended.said
    assert "The cluster answers again." in battered.ended.said
    assert battered.ended.summary["gate"]["status"]


def checkpoints(desk: Desk) -> set[Path]:
    """Of trainings with a supervisor."""
    return set(desk.cache.glob("saga/checkpoints/saga-*/*"))


def ended_well(desk: Desk, pod: Object) -> bool:
    return bool(desk.again(pod)["status"]["phase"] == "Succeeded")
