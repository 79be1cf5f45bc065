"""What a pod sees: run here as it is run there."""

import json
import os
import subprocess
import sys
from pathlib import Path

from pipelines.provenance import code_digest
from pipelines.stacks import pod_view

PROJECT = Path(__file__).parents[3]


def seen(home, **asked):
    command = [sys.executable, "-m", pod_view.MODULE, json.dumps(asked)]
    environment = os.environ | {"SAGA_HOME": str(home)}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = pod_view.answer(done.stdout.splitlines())
    assert found is not None
    return found


def problems(found):
    return {entry["key"]: entry["message"] for entry in found["problems"]}


def test_it_tells_its_code_and_leaves_the_cache_clean(tmp_path):
    found = seen(tmp_path / "saga", server=None, store=str(tmp_path / "store"))
    assert found["code"] == code_digest() and found["problems"] == []
    assert list((tmp_path / "saga").iterdir()) == [] == list((tmp_path / "store").iterdir())


def test_it_tells_what_it_cannot_reach_with_the_stack_files_keys(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    found = problems(seen(file / "saga", server="http://127.0.0.1:9", store=str(file / "store")))
    assert set(found) == {"cache", "server.url", "artifact_store.uri"}
    assert "Pods get no answer from http://127.0.0.1:9 (" in found["server.url"]
    assert f"Pods cannot write to {file}/saga" in found["cache"]


def test_other_lines_are_not_its_answer():
    assert pod_view.answer(["a", "b"]) is None
    assert pod_view.answer(["a", pod_view.MARK + '{"code": "c"}', "b"]) == {"code": "c"}
