"""Which ZenML a command speaks to: the embedded one, or the server that was chosen."""

import json
import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[3]
TELL = """
from pipelines.home import embedded_folder, use_embedded_zenml
import json, os
use_embedded_zenml()
use_embedded_zenml()
print(json.dumps({n: v for n, v in os.environ.items() if n.startswith("ZENML_")}
    | {"embedded": str(embedded_folder()), "there": embedded_folder().is_dir()}))
"""


def told(folder, **environment):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ZENML_", "SAGA_"))}
    done = subprocess.run(
        [sys.executable, "-c", TELL],
        env=kept | {"SAGA_HOME": str(folder), "PYTHONPATH": str(PROJECT)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)


def test_without_a_server_it_is_the_embedded_one(tmp_path):
    found = told(tmp_path, ZENML_STORE_URL="https://elsewhere", SAGA_ZENML_API_KEY="k")
    assert found["ZENML_CONFIG_PATH"] == found["embedded"] and "ZENML_STORE_URL" not in found
    assert "ZENML_STORE_API_KEY" not in found


def test_a_server_has_a_folder_of_its_own_and_its_key_is_not_kept_on_disk(tmp_path):
    found = told(tmp_path, SAGA_ZENML_SERVER="https://z.example.com", SAGA_ZENML_API_KEY="k")
    assert found["ZENML_STORE_URL"] == "https://z.example.com"
    assert found["ZENML_STORE_API_KEY"] == "k"
    assert found["ZENML_DISABLE_CREDENTIALS_DISK_CACHING"] == "true"
    assert found["ZENML_CONFIG_PATH"] != found["embedded"] and found["there"]
    other = told(tmp_path, SAGA_ZENML_SERVER="https://y.example.com")
    assert other["ZENML_CONFIG_PATH"] != found["ZENML_CONFIG_PATH"]


def test_a_pod_keeps_the_settings_of_its_run(tmp_path):
    given = {"ZENML_STORE_URL": "https://z.example.com", "ZENML_ACTIVE_STACK_ID": "s"}
    found = told(tmp_path, SAGA_IN_POD="1", **given)
    assert {name: found[name] for name in given} == given and found["there"]
    assert "ZENML_CONFIG_PATH" not in found
