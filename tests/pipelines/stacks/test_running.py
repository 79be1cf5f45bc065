"""One run on a cluster, from submission to the error that it ended with."""

from types import SimpleNamespace

import pytest

from pipelines.stacks import running
from pipelines.stacks.following import Follower
from saga.errors import RefusedError, UserInputError
from tests.pipelines.stacks import stacks
from tests.pipelines.stacks.objects import BATCH, RUN, job
from tests.pipelines.stacks.test_failure import REFUSED


@pytest.fixture
def place(tmp_path, monkeypatch, api):
    monkeypatch.setattr(running, "connect", lambda config: api.cluster())
    submitted = SimpleNamespace(id=RUN)
    monkeypatch.setattr(running, "submit", lambda *given: (submitted, 3))
    return stacks.shared(tmp_path)


def ends(monkeypatch, outcome):
    def follow(self):
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr(Follower, "follow", follow)


def test_a_completed_run_has_no_error(place, monkeypatch):
    ends(monkeypatch, SimpleNamespace(status="completed", steps={}, name="r"))
    assert running.run_on_cluster(place, None, ()) == (RUN, None)


def test_a_refused_run_ends_as_it_would_here(place, monkeypatch):
    told = SimpleNamespace(status="failed", exception_info=SimpleNamespace(traceback=REFUSED))
    ends(monkeypatch, SimpleNamespace(status="failed", steps={"mine_pairs": told}, name="r"))
    _, error = running.run_on_cluster(place, None, ())
    assert isinstance(error, RefusedError)


def test_a_lost_orchestrator_is_the_runs_error(place, monkeypatch):
    ends(monkeypatch, RuntimeError("the pod that starts the steps failed"))
    found, error = running.run_on_cluster(place, None, ())
    assert found == RUN and isinstance(error, RuntimeError)


def test_what_can_never_start_is_wrong_input(place, monkeypatch):
    ends(monkeypatch, UserInputError("image: no"))
    with pytest.raises(UserInputError, match="image: no"):
        running.run_on_cluster(place, None, ())


def test_an_interrupt_stops_the_run_there_too(place, monkeypatch):
    stopped = []
    monkeypatch.setattr(running, "stop", lambda stack, cluster, run: stopped.append(run))
    ends(monkeypatch, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        running.run_on_cluster(place, None, ())
    assert stopped == [RUN]


@pytest.fixture
def zenml(monkeypatch):
    """What ZenML knows of the run, and how it stops it: `status`, and `stops`, which may raise."""
    import zenml.client
    import zenml.orchestrators.publish_utils
    import zenml.utils.run_utils

    class Status(str):
        is_finished = property(lambda self: self == "completed")

    ours = SimpleNamespace(status="running", stops=lambda run: None, noted=[])

    def client():
        run = SimpleNamespace(status=Status(ours.status), snapshot=None)
        return SimpleNamespace(get_pipeline_run=lambda run_id: run)

    monkeypatch.setattr(zenml.client, "Client", client)
    monkeypatch.setattr(zenml.utils.run_utils, "stop_run", lambda run, graceful: ours.stops(run))
    monkeypatch.setattr(
        zenml.orchestrators.publish_utils, "publish_failed_pipeline_run", ours.noted.append
    )
    return ours


def test_a_run_that_goes_on_is_told_to_stop(place, api, zenml, capsys):
    running.stop(place, api.cluster(), RUN)
    assert "The run was told to stop there too." in capsys.readouterr().err
    assert api.deleted == []


def test_a_run_that_is_over_is_left_alone(place, api, zenml, capsys):
    zenml.status = "completed"
    running.stop(place, api.cluster(), RUN)
    assert capsys.readouterr().err == "" and api.deleted == []


def test_what_zenml_cannot_stop_is_deleted_the_orchestrator_first(place, api, zenml, capsys):
    def locked(run):
        raise RuntimeError("database is locked")

    zenml.stops = locked
    api.put(BATCH, job("s", "train_saga"), job("d", "mine_pairs", "Complete"), job("o", None))
    running.stop(place, api.cluster(), RUN)
    assert api.deleted[:2] == [f"{BATCH}/o", f"{BATCH}/s"] and f"{BATCH}/d" not in api.deleted
    said = capsys.readouterr().err
    assert "ZenML could not stop the run (RuntimeError: database is locked)" in said
    assert "deleted instead" in said and len(zenml.noted) == 1


def test_what_nobody_could_stop_is_told_with_what_to_do(place, api, zenml, capsys):
    def locked(run):
        raise RuntimeError("database is locked")

    zenml.stops = locked
    api.refused[BATCH] = 500
    running.stop(place, api.cluster(), RUN)
    said = capsys.readouterr().err
    assert "may go on" in said
    assert f"kubectl --namespace saga delete jobs --selector run_id={RUN}" in said
