"""The main job on a cluster: one definition, two places; and what a cluster does to it.

One run has to bear it all, because each of its fourteen pods imports the same libraries anew.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.cluster.api import Object
from tests.cluster.cluster import Cluster
from tests.cluster.desk import CONFIG, Command, Desk, Ended, accelerators, desk_at, step_of
from tests.cluster.jobs import conditions, evict, log
from tests.cluster.naming import OTHERS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

OUTAGE_SECONDS = 30.0
CHECKPOINTS = "saga/checkpoints/saga-*/*"
TIMES = ("train_seconds", "wait_share")
TRAINED = re.compile(r"^train saga: (\d+) of 8", re.MULTILINE)


@pytest.fixture(scope="module")
def desk(pools: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with desk_at(pools, "saga-runs", tmp_path_factory.mktemp("runs") / "desk") as made:
        yield made


@pytest.fixture(scope="module")
def begun(desk: Desk) -> Command:
    """The run on this machine, undisturbed; in another folder, so that nothing is shared.

    It goes on while those on the cluster wait for this and that.
    """
    folder = desk.folder.parent / "alone"
    folder.mkdir()
    return replace(desk, folder=folder).start("run", str(CONFIG), "--json")


@pytest.fixture(scope="module")
def alone(begun: Command) -> Ended:
    """The same at its end."""
    return begun.end()


@dataclass(frozen=True)
class Battered:
    """The run on the cluster, and what was done to it."""

    ended: Ended
    evicted: Object
    """Pod of the training that was taken away."""
    trained: Object
    """The one that came after it."""
    pods: dict[str, list[Object]]
    """Pods that are left, by their steps."""
    jobs: dict[str, Object]
    """Jobs, by their steps."""

    @property
    def places(self) -> dict[str, tuple[str, int]]:
        """Node and number of accelerators of each step."""
        return {
            step: (pods[-1]["spec"]["nodeName"], accelerators(pods[-1]))
            for step, pods in self.pods.items()
        }


@pytest.fixture(scope="module")
def battered(desk: Desk, begun: Command) -> Battered:
    """Pools by other names. The training is evicted, the orchestrator killed, the API server stopped."""
    stack = desk.stack("loopback", OTHERS)
    command = desk.start("run", str(CONFIG), "--stack", str(stack), "--json")
    command.until(lambda: any(desk.cache.glob(CHECKPOINTS)), "the training has a checkpoint")
    evicted = desk.running("train_saga")
    assert evicted is not None
    evict(desk.cluster, evicted)
    trained = command.until(lambda: desk.running("train_saga", evicted), "the training goes on")
    command.until(lambda: ended_well(desk, trained), "the training ends")
    desk.cluster.kill(desk.running("orchestrator"))
    desk.cluster.plane.restart_api_server(OUTAGE_SECONDS)
    ended = command.end()
    pods = defaultdict(list)
    for pod in desk.pods():
        pods[step_of(pod)].append(pod)
    jobs = {step: desk.job(found[-1]) for step, found in pods.items()}
    return Battered(ended, evicted, desk.again(trained), dict(pods), jobs)


def judged(ended: Ended) -> dict[str, Any]:
    """What was measured of each encoder; not how long it took."""
    return {
        name: {key: value for key, value in found.items() if key not in TIMES}
        for name, found in ended.summary["methods"].items()
    }


def test_the_result_is_that_of_an_undisturbed_run_on_one_machine(battered, alone):
    ended = battered.ended
    assert ended.code == alone.code, ended.said
    for name in ("manifest", "pairs", "encoder_dml", "encoder_saga"):
        assert ended.digest(name) == alone.digest(name), name
    assert judged(ended) == judged(alone)
    assert ended.summary["gate"]["status"] == alone.summary["gate"]["status"]


def test_every_step_runs_on_its_pool_whatever_pools_and_accelerators_are_called(battered):
    places = battered.places
    trains = {step for step in places if step.startswith("train_")}
    judges = {step for step in places if step.startswith(("evaluate_", "measure_", "untrained"))}
    assert {places[step] for step in trains} == {(f"{OTHERS.train}-0", 1)}
    assert {places[step] for step in judges} == {(f"{OTHERS.judge}-0", 1)}
    others = set(places) - trains - judges
    assert {places[step] for step in others} == {(f"{OTHERS.plain}-0", 0)}
    assert others >= {"orchestrator", "load_dataset", "validate_dataset", "gate_candidate"}


def test_an_evicted_training_goes_on_from_its_checkpoint(desk, battered):
    assert battered.trained["metadata"]["uid"] != battered.evicted["metadata"]["uid"]
    first, *_ = TRAINED.findall(log(desk.cluster, battered.trained))
    assert int(first) > 1


def test_an_eviction_burns_no_retry(battered):
    assert {conditions(job["status"]).get("Complete") for job in battered.jobs.values()} == {"True"}
    failed = {step: job["status"].get("failed", 0) for step, job in battered.jobs.items()}
    assert failed["train_saga"] == 0
    assert failed["orchestrator"] == 1  # which was killed


def test_a_run_outlives_its_orchestrators_pod(battered):
    phases = [pod["status"]["phase"] for pod in battered.pods["orchestrator"]]
    assert sorted(phases) == ["Failed", "Succeeded"]
    assert battered.ended.summary["gate"]["status"]


def test_a_run_outlives_an_outage_of_the_api_server(battered):
    assert "No answer from the cluster" in battered.ended.said
    assert "The cluster answers again." in battered.ended.said


def test_what_pods_say_reaches_the_user(battered):
    assert "train_saga | train saga: 8 of 8" in battered.ended.said
    assert re.search(r"run on loopback: \d+ of \d+", battered.ended.said)


def test_images_that_only_pods_see_are_left_out_of_the_report_with_a_word(battered):
    said = battered.ended.said
    assert "report.html shows no images: they are in /cache/saga/data/" in said


def ended_well(desk: Desk, pod: Object) -> bool:
    return bool(desk.again(pod)["status"]["phase"] == "Succeeded")
