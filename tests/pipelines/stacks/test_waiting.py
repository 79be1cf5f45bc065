"""Why a step waits, from objects as clusters write them."""

from pipelines.stacks.objects import run_objects
from pipelines.stacks.waiting import Waiting, waiting_reasons
from tests.pipelines.stacks.objects import BATCH, EVENTS, PODS, RUN, event, job, pod

NO_GPU = "0/2 nodes are available: 1 Insufficient nvidia.com/gpu, 1 node(s) had untolerated taint."
QUOTA = 'pods "x" is forbidden: exceeded quota: saga, requested: requests.nvidia.com/gpu=1'


def found(api, jobs, pods=(), events=()):
    api.put(BATCH, *jobs)
    api.put(PODS, *pods)
    api.put(EVENTS, *events)
    return waiting_reasons(api.cluster(), run_objects(api.cluster(), RUN))


def test_a_running_step_does_not_wait(api):
    assert found(api, [job("a", "train_saga")], [pod("a-1", "a", "Running")]) == []


def test_a_finished_job_does_not_wait_and_no_event_is_asked_for(api):
    assert found(api, [job("a", "train_saga", "Complete"), job("b", None, "Failed")]) == []
    assert [path for path, _ in api.asked] == [BATCH, PODS]


def test_the_schedulers_words_reach_the_user(api):
    pods = [pod("a-1", "a", scheduled=NO_GPU)]
    assert found(api, [job("a", "train_saga")], pods) == [
        Waiting("train_saga", "a", "Unschedulable", NO_GPU)
    ]


def test_the_schedulers_event_is_the_same_reason_as_the_condition_that_follows_it(api):
    events = [event("a-1", "FailedScheduling", NO_GPU)]
    before = found(api, [job("a", "train_saga")], [pod("a-1", "a")], events)
    after = found(api, [job("a", "train_saga")], [pod("a-1", "a", scheduled=NO_GPU)], events)
    assert before == after == [Waiting("train_saga", "a", "Unschedulable", NO_GPU)]


def test_a_used_up_quota_is_an_event_of_the_job(api):
    events = [
        event("a", "SuccessfulCreate", "made"),
        event("a", "FailedCreate", QUOTA),
        event("b", "FailedCreate", "of another run"),
    ]
    assert found(api, [job("a", "train_saga")], events=events) == [
        Waiting("train_saga", "a", "FailedCreate", QUOTA)
    ]


def test_an_image_that_cannot_be_pulled_is_hopeless(api):
    pods = [pod("a-1", "a", waiting=("ImagePullBackOff", "not found"))]
    (only,) = found(api, [job("a", None)], pods)
    assert (only.step, only.reason, only.message) == (
        "orchestrator",
        "ImagePullBackOff",
        "not found",
    )
    assert only.hopeless


def test_a_volume_that_does_not_come_is_told_while_the_container_is_made(api):
    pods = [pod("a-1", "a", waiting=("ContainerCreating", ""))]
    events = [
        event("a-1", "FailedMount", "old", at="2026-01-01T00:00:00Z"),
        event("a-1", "FailedMount", "no such claim", at="2026-01-01T00:05:00Z"),
    ]
    (only,) = found(api, [job("a", "mine_pairs")], pods, events)
    assert (only.reason, only.message) == ("FailedMount", "no such claim")
    assert not only.hopeless


def test_the_newest_pod_counts(api):
    pods = [
        pod("a-2", "a", scheduled=NO_GPU, at="2026-01-01T00:09:00Z"),
        pod("a-1", "a", "Failed", at="2026-01-01T00:00:00Z"),
    ]
    (only,) = found(api, [job("a", "train_saga")], pods)
    assert only.message == NO_GPU


def test_a_job_that_a_queue_holds_back_waits(api):
    held = job("a", "train_saga")
    held["spec"]["suspend"] = True
    held["status"]["conditions"] = [
        {"type": "Suspended", "status": "True", "message": "Job suspended"}
    ]
    (only,) = found(api, [held])
    assert (only.reason, only.message) == (
        "Suspended",
        "Job suspended; its queue starts it when there is room",
    )


def test_only_this_runs_jobs_are_asked_for(api):
    found(api, [job("a", "train_saga")])
    asked = [query["labelSelector"] for _, query in api.asked if "labelSelector" in query]
    assert asked and all(selector == [f"run_id={RUN}"] for selector in asked)


def test_a_step_that_succeeded_does_not_wait_for_what_its_pod_waited_for(api):
    pods = [pod("a-1", "a", "Succeeded")]
    events = [event("a-1", "FailedScheduling", NO_GPU)]
    assert found(api, [job("a", "measure_saga")], pods, events) == []


def test_what_a_lost_pod_waited_for_is_no_reason_of_the_next(api):
    pods = [pod("a-1", "a", "Failed")]
    events = [event("a-1", "FailedScheduling", NO_GPU)]
    (only,) = found(api, [job("a", "measure_saga")], pods, events)
    assert only.reason == "NoPod"
