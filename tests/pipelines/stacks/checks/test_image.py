"""The image, looked at by a pod of it: what the pod's end, its words or its waiting mean."""

import itertools
import json
import os
from functools import partial

import pytest

from pipelines.stacks.checks import all, image
from saga.errors import UserInputError
from tests.pipelines.stacks import objects, stacks
from tests.pipelines.stacks.objects import BATCH, PODS, RUN, sees

IMAGE = "registry.example.com/saga:0.1.0"


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Every look at the clock is ten seconds later."""
    seconds = itertools.count(0, 10)
    monkeypatch.setattr(image.time, "monotonic", lambda: float(next(seconds)))
    monkeypatch.setattr(image.time, "sleep", lambda _: None)


@pytest.fixture
def ends(api):
    """What becomes of the pod."""
    return partial(objects.looked, api)


def look(api, folder, changes=None, store=False):
    given = stacks.stack(folder, {"image": IMAGE} | (changes or {}))
    return image.image(given, api.cluster(), store=store)


def test_an_image_with_this_version_is_told_and_nothing_is_left(api, ends, tmp_path):
    ends(log="a warning\n" + sees())
    (told,) = look(api, tmp_path)
    assert (told.key, told.level) == ("image", "tells")
    assert "holds this version of saga" in told.message and "can be moved" in told.message
    ((path, made),) = api.made
    assert path == BATCH and api.deleted == [f"{BATCH}/{made['metadata']['name']}"]
    assert made["metadata"]["labels"]["run_id"] != RUN


def test_the_pod_is_set_up_as_a_steps_is(api, ends, tmp_path):
    ends(log=sees())
    look(api, tmp_path, store=True)
    ((_, made),) = api.made
    spec = made["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    asked = json.loads(container["command"][-1])
    assert asked == {
        "server": stacks.bundled()["server"]["url"],
        "store": stacks.bundled()["artifact_store"]["uri"],
    }
    assert spec["serviceAccountName"] == "saga-step"
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert spec["nodeSelector"] == {"saga.dev/pool": "cpu"}
    assert {"name": "cache", "mountPath": "/cache"} in container["volumeMounts"]


def test_without_a_server_the_pod_is_whoever_submits(api, ends, tmp_path):
    ends(log=sees())
    image.image(stacks.shared(tmp_path), api.cluster(), store=True)
    ((_, made),) = api.made
    spec = made["spec"]["template"]["spec"]
    assert spec["securityContext"] == {"runAsUser": os.getuid(), "runAsGroup": os.getgid()}
    asked = json.loads(spec["containers"][0]["command"][-1])
    assert asked == {"server": None, "store": None}


def test_an_image_without_saga_blocks(api, ends, tmp_path):
    ends("Failed", "/usr/bin/python: No module named pipelines.stacks\n", code=1)
    (told,) = look(api, tmp_path)
    assert (told.key, told.level) == ("image", "blocks")
    assert f"{IMAGE} does not hold this version of saga" in told.message


def test_an_image_without_python_blocks(api, ends, tmp_path):
    ends("Failed", code=128, message='exec: "python": executable file not found in $PATH')
    (told,) = look(api, tmp_path)
    assert told.level == "blocks" and "exit code 128" in told.message
    assert "executable file not found" in told.message


def test_other_code_and_another_zenml_block(api, ends, tmp_path):
    ends(log=sees(code="f" * 64))
    (told,) = look(api, tmp_path)
    assert told.level == "blocks" and "holds other code (ffffffffffff)" in told.message
    ends(log=sees(zenml="0.97.0"))
    (told,) = look(api, tmp_path)
    assert told.level == "blocks" and "holds ZenML 0.97.0" in told.message


def test_what_a_pod_cannot_reach_blocks_with_its_own_key(api, ends, tmp_path):
    ends(log=sees(problems=[{"key": "server.url", "message": "Pods get no answer."}]))
    (told,) = look(api, tmp_path)
    assert (told.key, told.level, told.message) == ("server.url", "blocks", "Pods get no answer.")


def test_an_image_that_cannot_be_pulled_blocks_soon(api, ends, tmp_path):
    ends("Pending", waiting=("ErrImagePull", "manifest unknown"))
    (told,) = look(api, tmp_path, {"jobs.image_check_minutes": 600})
    assert told.level == "blocks"
    assert "cannot start (ErrImagePull): manifest unknown" in told.message
    assert len(api.deleted) == 1


def test_a_pod_that_finds_no_place_is_given_up_and_told(api, ends, tmp_path):
    ends("Pending")
    (told,) = look(api, tmp_path, {"jobs.image_check_minutes": 1})
    assert told.level == "tells" and "its pod waited 1 minutes (Starting)" in told.message
    assert len(api.deleted) == 1


def test_a_pod_that_was_taken_away_does_not_count(api, ends, tmp_path):
    ends("Failed", code=137)
    evicted = api.objects[PODS]["items"][0]
    evicted["status"]["conditions"] = [{"type": "DisruptionTarget", "status": "True"}]
    (told,) = look(api, tmp_path, {"jobs.image_check_minutes": 1})
    assert told.level == "tells"


def test_none_is_started_where_the_stack_says_so(api, tmp_path):
    (told,) = look(api, tmp_path, {"jobs.image_check_minutes": 0})
    assert told.level == "tells" and "image_check_minutes is 0" in told.message
    assert api.made == []


def test_a_schedule_is_refused_with_file_and_key(api, ends, tmp_path, monkeypatch):
    monkeypatch.setattr(all, "connect", lambda _: api.cluster())
    ends("Failed", "/usr/bin/python: No module named pipelines\n", code=1)
    with pytest.raises(UserInputError, match=r"our\.yaml: image: registry.* does not hold"):
        all.require_image(stacks.stack(tmp_path), "our.yaml")
