"""A TrainJob is followed to its end: progress, waiting, restarts, failures, the step's own end."""

import itertools
import json
import os
import signal
from dataclasses import replace

import pytest

from pipelines.trainjobs import following
from pipelines.trainjobs.following import Follower, TrainJobError, facts
from pipelines.trainjobs.state import Wanted
from saga.errors import RefusedError, UserInputError
from saga.files import write_json
from tests.pipelines.trainjobs.objects import JOBS, NAME, PODS, logs, pod, train_job

BEGAN = 1767225600.0
"""When the TrainJobs of the tests were made."""
DONE = train_job(("Complete", "done"))
TOLD = {"arm": "saga", "steps": 3, "seconds": 1.0, "resumed_at": 0, "metrics": {"loss/dml": 1.0}}


def step(number):
    return "progress " + json.dumps(TOLD | {"step": number})


@pytest.fixture
def follow(api, template, tmp_path):
    """Follow through scenes; each is what the API server has from then on."""

    def run(*scenes, progress=None, clock=lambda: BEGAN, **changes):
        said, left = [], list(scenes)

        def on(seconds=0.0):
            scene = left.pop(0)
            if callable(scene):
                scene()
                return
            job, *pods = scene
            api.put(JOBS, *([job] if job else []))
            api.put(PODS, *pods)

        on()
        follower = Follower(
            api.cluster(),
            replace(template, **changes),
            NAME,
            tmp_path,
            2,
            tell=said.append,
            clock=clock,
            sleep=on,
        )
        return follower, said, lambda: follower.follow(progress)

    return run


def test_progress_of_the_first_node_is_told_once_and_its_lines_are_shown(api, follow):
    seen = []
    logs(api, node0="\n".join(["loading", step(1)]), node1=step(7))
    more = "\n".join(["loading", step(1), step(2), "half a progress {"])

    def later():
        logs(api, node0=more)

    _, said, run = follow(
        (train_job(), pod(0), pod(1)), later, (DONE, pod(0, "Succeeded")), progress=seen.append
    )
    assert run()["metadata"]["uid"] == "u-1"
    assert [at.step for at in seen] == [1, 2]
    assert said == ["node 0 | loading", "node 0 | half a progress {"]


def test_a_line_that_was_cut_is_a_line(api, follow):
    logs(api, node0='progress {"arm": "sa')
    _, said, run = follow((DONE, pod(0, "Succeeded")))
    run()
    assert said == ['node 0 | progress {"arm": "sa']


def test_what_it_waits_for_is_told_once_and_that_it_no_longer_does(api, follow):
    waits = (train_job(), pod(0), pod(1, "Pending", waits="Insufficient nvidia.com/gpu"))
    starting = (train_job(), pod(0), pod(1, "Pending"))
    _, said, run = follow(waits, waits, waits, starting, (train_job(), pod(0), pod(1)), (DONE,))
    run()
    assert len(said) == 2
    assert said[0].startswith("The training waits: it wants 2 nodes of the pool gpu-train")
    assert said[1] == "All nodes are there."


def test_missing_pods_are_told_when_it_lasts(follow):
    times = itertools.count(0.0, 10.0)  # two looks at the clock each time
    made = (train_job(),)
    _, said, run = follow(made, made, made, (DONE,), clock=lambda: BEGAN + next(times))
    run()
    assert len(said) == 1 and said[0].endswith("its pods have not been made yet")


def test_a_failure_tells_how_each_node_ended_and_what_it_said(api, follow):
    logs(api, node0=f"Connection closed by peer\n{step(2)}", node1="CUDA out of memory")
    pods = (pod(0, "Failed", code=1), pod(1, "Failed", code=137, reason="OOMKilled"))
    _, _, run = follow((train_job(("Failed", "jobset failed: reached max restarts")), *pods))
    with pytest.raises(TrainJobError) as error:
        run()
    lines = str(error.value).splitlines()
    assert lines[0] == f"the TrainJob {NAME} failed: jobset failed: reached max restarts"
    assert lines[2] == "    Connection closed by peer" and len(lines) == 5
    assert lines[3].startswith(f"node 1 ({NAME}-node-0-1-0) ended with exit code 137 (OOMKilled)")
    assert lines[4] == "    CUDA out of memory"


def test_wrong_input_is_the_users_to_read_and_not_tried_again(api, follow, tmp_path):
    write_json(tmp_path / "failure.json", {"kind": "UserInputError", "message": "too few classes"})
    _, _, run = follow((train_job(), pod(0), pod(1)))
    with pytest.raises(UserInputError, match="too few classes"):
        run()
    assert api.deleted == [f"{JOBS}/{NAME}"]


def test_a_refusal_stays_a_refusal(api, follow, tmp_path):
    write_json(tmp_path / "failure.json", {"kind": "RefusedError", "message": "no"})
    _, _, run = follow((train_job(), pod(0)))
    with pytest.raises(RefusedError):
        run()


def test_a_new_start_of_the_group_is_told(follow):
    _, said, run = follow(
        (train_job(), pod(0), pod(1)), (train_job(), pod(0, attempt=1), pod(1, attempt=1)), (DONE,)
    )
    run()
    assert said == ["The training begins anew from its last checkpoint (start 2)."]


def test_nodes_that_are_taken_away_again_and_again_are_enough_some_time(api, follow):
    _, _, run = follow((train_job(), pod(0, attempt=3), pod(1, attempt=3)), disruptions=2)
    with pytest.raises(
        TrainJobError, match=r"begun 4 times, more often than jobs.disruptions \(2\)"
    ):
        run()
    assert api.deleted == [f"{JOBS}/{NAME}"]


def test_no_training_outlives_its_step(api, follow):
    _, _, run = follow((train_job(), pod(0)), clock=lambda: BEGAN + 61.0, deadline_seconds=60.0)
    with pytest.raises(TrainJobError, match="step_deadline_minutes"):
        run()
    assert api.deleted == [f"{JOBS}/{NAME}"]


def test_a_deleted_train_job_is_no_result(follow):
    _, _, run = follow((None,))
    with pytest.raises(TrainJobError, match="somebody deleted"):
        run()


def test_an_outage_is_waited_for(api, follow):
    path = f"{JOBS}/{NAME}"

    def down():
        api.refused[path] = 503

    def up():
        del api.refused[path]
        api.put(JOBS, DONE)

    _, said, run = follow((train_job(), pod(0)), down, down, up)
    run()
    assert [line.partition(" (")[0] for line in said] == ["No answer from the cluster"]


def test_a_long_outage_is_an_end(api, follow):
    api.refused[f"{JOBS}/{NAME}"] = 503
    times = iter([0.0, following.PATIENCE_SECONDS + 1])
    nothing = (train_job(),)
    _, _, run = follow(nothing, nothing, nothing, clock=lambda: BEGAN + next(times))
    with pytest.raises(TrainJobError, match="may go on"):
        run()


def test_the_steps_pod_ends_without_its_train_job(api, follow):
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        end = lambda: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
        _, said, run = follow((train_job(), pod(0), pod(1)), end)
        with pytest.raises(SystemExit) as ended:
            run()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code == 143 and api.deleted == []
    assert said == [f"This pod ends; the TrainJob {NAME} goes on, and the next pod follows it."]


def test_what_remains_of_it():
    left = facts(DONE, Wanted(2, 4, "nvidia.com/gpu", "gpu-train"), 4, 2)
    assert (left["name"], left["uid"], left["nodes"], left["starts"]) == (NAME, "u-1", 2, 2)
    assert left["seconds"] == 600.0 and left["processes_per_node"] == 4
