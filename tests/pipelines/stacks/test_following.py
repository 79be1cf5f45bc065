"""Following a run: what is told, when it is given up, and that silence is waited out."""

from types import SimpleNamespace

import pytest

from pipelines.stacks.following import HOPELESS_SECONDS, LASTING_SECONDS, PATIENCE_SECONDS, Follower
from saga.errors import UserInputError
from tests.pipelines.stacks import stacks
from tests.pipelines.stacks.objects import BATCH, EVENTS, PODS, RUN, event, job, pod

NO_GPU = "0/2 nodes are available: 1 Insufficient nvidia.com/gpu."


class Status(str):
    @property
    def is_finished(self):
        return self in ("completed", "failed")


class Watch:
    """A follower with a clock of its own and a run that the test sets."""

    def __init__(self, api, folder, monkeypatch):
        # Imported later, it would keep the client of this test for all that follow.
        import zenml.client
        import zenml.orchestrators.publish_utils  # noqa: F401

        self.api, self.now, self.lines = api, 0.0, []
        self.run = SimpleNamespace(
            status=Status("running"), steps={}, name="r", snapshot=SimpleNamespace(id="s")
        )
        self.error = None
        self.show()
        monkeypatch.setattr(
            zenml.client,
            "Client",
            lambda: SimpleNamespace(get_pipeline_run=lambda run_id: self.read(run_id)),
        )
        self.follower = Follower(
            stacks.shared(folder),
            api.cluster(),
            RUN,
            3,
            tell=self.lines.append,
            clock=lambda: self.now,
            sleep=self.sleep,
        )

    def read(self, run_id):
        assert run_id == RUN
        if self.error:
            raise self.error
        return self.run

    def show(self, jobs=(), pods=(), events=()):
        self.api.put(BATCH, *jobs)
        self.api.put(PODS, *pods)
        self.api.put(EVENTS, *events)

    def sleep(self, seconds):
        self.now += seconds

    def look(self, later=0.0):
        """Look once more; what was told."""
        self.now += later
        self.lines.clear()
        self.follower.look()
        return list(self.lines)


@pytest.fixture
def watch(api, tmp_path, monkeypatch):
    return Watch(api, tmp_path, monkeypatch)


def test_a_reason_is_told_once_and_again_when_it_changes(watch):
    watch.show([job("a", "train_saga")], [pod("a-1", "a", scheduled=NO_GPU)])
    assert watch.look() == [f"train_saga waits (Unschedulable): {NO_GPU}"]
    assert watch.look(5) == []
    watch.show([job("a", "train_saga")], [pod("a-1", "a", scheduled="0/3 nodes")])
    assert watch.look(5) == ["train_saga waits (Unschedulable): 0/3 nodes"]
    watch.show([job("a", "train_saga")], [pod("a-1", "a", "Running")])
    assert watch.look(5) == ["train_saga has started"]


def test_what_every_pod_waits_for_is_told_only_when_it_lasts(watch):
    watch.show([job("a", "load_dataset")])
    assert watch.look() == [] and watch.look(LASTING_SECONDS - 1) == []
    assert watch.look(1) == ["load_dataset waits (NoPod): its pod has not been made yet"]


def test_a_look_lists_jobs_and_pods_once(watch):
    watch.show([job("a", "train_saga")], [pod("a-1", "a", "Running", step="train_saga")])
    watch.api.objects[f"{PODS}/a-1/log"] = "one\n"
    watch.api.asked.clear()
    assert watch.look() == ["train_saga | one"]
    assert [path for path, _ in watch.api.asked] == [BATCH, PODS, f"{PODS}/a-1/log"]


def test_a_quota_is_told_at_once(watch):
    watch.show(
        [job("a", "train_saga")], events=[event("a", "FailedCreate", "exceeded quota: saga")]
    )
    assert watch.look() == ["train_saga waits (FailedCreate): exceeded quota: saga"]


def test_lines_of_the_pods_are_told_with_their_step(watch):
    watch.show([job("a", "train_saga")], [pod("a-1", "a", "Running", step="train_saga")])
    watch.api.objects[f"{PODS}/a-1/log"] = "train saga: 3 of 9\n"
    assert watch.look() == ["train_saga | train saga: 3 of 9"]


def test_an_orchestrator_without_image_is_given_up_and_removed(watch, monkeypatch):
    import zenml.orchestrators.publish_utils as publishing

    failed = []
    monkeypatch.setattr(publishing, "publish_failed_pipeline_run", failed.append)
    waiting = pod("o-1", "o", waiting=("ErrImagePull", "manifest unknown"))
    watch.show([job("o", None)], [waiting])
    watch.look()
    with pytest.raises(UserInputError, match="image: .*ErrImagePull.*manifest unknown"):
        watch.look(HOPELESS_SECONDS)
    assert watch.api.deleted == [f"{BATCH}/o"] and [str(found) for found in failed] == [RUN]


def test_a_step_without_image_is_left_to_the_orchestrator(watch):
    watch.show([job("a", "train_saga")], [pod("a-1", "a", waiting=("ErrImagePull", "unknown"))])
    assert watch.look() and watch.look(HOPELESS_SECONDS * 2) == []


def test_a_failed_orchestrator_ends_it(watch, monkeypatch):
    import zenml.orchestrators.publish_utils as publishing

    monkeypatch.setattr(publishing, "publish_failed_pipeline_run", lambda found: None)
    watch.show([job("o", None, "Failed")])
    with pytest.raises(RuntimeError, match="the pod that starts the steps failed: why"):
        watch.look()


def test_silence_is_waited_out_and_told_once(watch):
    watch.error = ConnectionError("refused")
    assert "No answer" in watch.look()[0] and watch.look(30) == []
    watch.error = None
    assert watch.look(5) == ["The cluster answers again."]


def test_a_dead_api_server_is_waited_out_too(watch):
    watch.api.refused[BATCH] = 503
    assert "No answer" in watch.look()[0]


def test_long_silence_ends_with_where_to_look(watch):
    watch.error = ConnectionError("refused")
    watch.look()
    with pytest.raises(UserInputError, match=f"run_id={RUN}"):
        watch.look(PATIENCE_SECONDS)


def test_it_ends_with_the_run(watch):
    states = iter(["running", "running", "completed"])

    def read(run_id):
        watch.run.status = Status(next(states))
        return watch.run

    watch.read = read
    assert watch.follower.follow().status == "completed"
    assert watch.now == 2 * watch.follower.stack.jobs.poll_seconds


def test_progress_counts_finished_steps_and_names_what_runs(watch, capsys):
    import sys

    from pipelines.progress import shown

    watch.run.steps = {
        "load_dataset": SimpleNamespace(status=Status("completed")),
        "mine_pairs": SimpleNamespace(status=Status("running")),
    }
    with shown(sys.stderr):
        watch.look()
    assert "run on kubernetes: 1 of 3, mine_pairs running" in capsys.readouterr().err
