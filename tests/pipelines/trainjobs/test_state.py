"""Conditions and pods become plain messages."""

import pytest

from pipelines.trainjobs.pods import Member, members
from pipelines.trainjobs.state import Wanted, state_of
from tests.pipelines.trainjobs.objects import NAME, PODS, pod, train_job

WANTED = Wanted(2, 4, "nvidia.com/gpu", "gpu-train")
NO_GPU = "0/3 nodes are available: 1 Insufficient nvidia.com/gpu, 2 node(s) had untolerated taint."


def found(api, *pods):
    api.put(PODS, *pods)
    return members(api.cluster(), NAME)


def state(api, job, *pods):
    return state_of(job, found(api, *pods), WANTED)


def test_its_ends(api):
    assert state(api, train_job(("Complete", "done"))).phase == "complete"
    failed = state(api, train_job(("Failed", "reached max restarts")))
    assert (failed.phase, failed.message) == ("failed", "reached max restarts")


def test_what_holds_no_longer_is_not_told(api):
    job = train_job(("Suspended", "suspended"))
    job["status"]["conditions"][0]["status"] = "False"
    assert state(api, job, pod(0), pod(1)).phase == "running"


@pytest.mark.parametrize("job", [train_job(suspend=True), train_job(("Suspended", "x"))])
def test_a_queue_holds_it_back(api, job):
    held = state(api, job)
    assert held.phase == "suspended"
    assert held.message == (
        "it wants 2 nodes of the pool gpu-train with 4 nvidia.com/gpu each (8 in all); it is held "
        "back until its queue has room"
    )


def test_too_few_nodes_are_told_with_how_many_are_wanted_and_free(api):
    waits = state(api, train_job(), pod(0), pod(1, "Pending", waits=NO_GPU))
    assert waits.phase == "waiting"
    assert waits.message == (
        "it wants 2 nodes of the pool gpu-train with 4 nvidia.com/gpu each (8 in all); 1 is free "
        f"(4 nvidia.com/gpu). The scheduler says: {NO_GPU}"
    )
    none = [pod(i, "Pending", waits=NO_GPU) for i in (0, 1)]
    assert "; 0 are free (0 nvidia.com/gpu). The" in state(api, train_job(), *none).message


def test_what_the_scheduler_has_not_said_yet_is_waited_for(api):
    assert state(api, train_job(), pod(0, "Pending", waits=NO_GPU), undecided()).message == ""


def undecided():
    item = pod(1, "Pending")
    del item["spec"]["nodeName"]
    return item


def test_nodes_without_devices_are_counted_alone(api):
    waiting = [pod(0), pod(1, "Pending", waits="0/1 nodes are available.")]
    told = state_of(train_job(), found(api, *waiting), Wanted(2)).message
    assert told == "it wants 2 nodes; 1 is free. The scheduler says: 0/1 nodes are available."


def test_pods_that_were_not_made(api):
    assert state(api, train_job()).message.endswith("its pods have not been made yet")


def test_pods_that_are_being_made_are_nothing_to_tell(api):
    assert state(api, train_job(), pod(0, "Pending"), pod(1, "Pending")).message == ""


def test_only_the_newest_start_counts(api):
    pods = found(api, pod(0, "Failed", code=1), pod(1, attempt=1), pod(0, attempt=1))
    assert [(m.node, m.attempt, m.phase) for m in pods] == [(0, 1, "Running"), (1, 1, "Running")]


def test_the_living_pod_of_a_node_counts(api):
    pods = found(api, pod(0), pod(0, "Failed", code=137, name="gone"))
    assert [m.phase for m in pods] == ["Running"]


def test_how_a_container_ended_is_told(api):
    (member,) = found(api, pod(0, "Failed", code=137, reason="OOMKilled"))
    assert member == Member(
        f"{NAME}-node-0-0-0", 0, 0, "Failed", True, ended="exit code 137 (OOMKilled)"
    )


def test_only_pods_of_the_train_job_are_asked_for(api):
    found(api)
    ((_, query),) = api.asked
    assert query["labelSelector"] == [f"jobset.sigs.k8s.io/jobset-name={NAME}"]
