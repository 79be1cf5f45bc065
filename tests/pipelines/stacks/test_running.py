"""One run on a cluster, from submission to the error that it ended with."""

from types import SimpleNamespace

import pytest

from pipelines.stacks import running
from pipelines.stacks.following import Follower
from saga.errors import RefusedError, UserInputError
from tests.pipelines.stacks import stacks
from tests.pipelines.stacks.objects import RUN
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
    monkeypatch.setattr(running, "stop", stopped.append)
    ends(monkeypatch, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        running.run_on_cluster(place, None, ())
    assert stopped == [RUN]


def test_stopping_a_run_that_is_over_is_no_error(monkeypatch):
    import zenml.client
    import zenml.utils.run_utils  # noqa: F401 - else it would keep the client of this test

    def gone():
        raise KeyError("no such run")

    monkeypatch.setattr(zenml.client, "Client", gone)
    running.stop(RUN)
