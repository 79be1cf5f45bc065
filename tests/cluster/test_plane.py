"""The control plane: on loopback alone, and gone when its tests are."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import requests

from tests.cluster.api import Api, ApiError
from tests.cluster.cluster import wait_for
from tests.cluster.jobs import finished, job, jobs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PROJECT = Path(__file__).parents[2]
# Starts a control plane, says which processes it is, and waits for its end.
RUNS = """
import sys, time
from pathlib import Path
from tests.cluster.plane import control_plane
with control_plane(Path(sys.argv[1])) as plane:
    print(*(program.pid for program in plane.programs), flush=True)
    time.sleep(120)
"""


def test_it_listens_on_loopback_alone(own_cluster):
    heard = {
        connection.laddr.ip
        for program in own_cluster.plane.programs
        for connection in psutil.Process(program.pid).net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert heard == {"127.0.0.1"}


def test_its_servers_are_of_the_pinned_version(own_cluster):
    pinned = (Path(__file__).parent / "controlplane" / "go.mod").read_text()
    assert f"k8s.io/kubernetes {own_cluster.api.get('/version')['gitVersion']}\n" in pinned


def test_keys_are_made_anew_and_readable_by_their_owner_alone(own_cluster):
    keys = own_cluster.plane.folder / "keys"
    assert keys.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in keys.glob("*.key")} == {0o600}


def test_strangers_are_refused(own_cluster):
    plane = own_cluster.plane
    nodes = f"{plane.server}/api/v1/nodes"
    answer = requests.get(nodes, verify=plane.authority.certificate, timeout=10)
    assert answer.status_code == requests.codes.forbidden  # system:anonymous
    nobody = Api(plane.kubeconfig("nobody", "no-group"))
    with pytest.raises(ApiError, match='User "nobody" cannot list resource "nodes"'):
        nobody.get("/api/v1/nodes")


def test_an_outage_loses_nothing_and_controllers_go_on(pools, space):
    words = {"metadata": {"name": "words"}, "data": {"a": "b"}}
    pools.api.create(f"/api/v1/namespaces/{space}/configmaps", words)
    pools.plane.stop_api_server()
    with pytest.raises(requests.exceptions.RequestException):
        pools.api.get("/readyz")
    pools.plane.start_api_server()
    found = pools.api.get(f"/api/v1/namespaces/{space}/configmaps/words")
    assert found["data"] == {"a": "b"}
    pools.api.create(jobs(space), job("afterwards", "true"))
    assert finished(pools, space, "afterwards")["succeeded"] == 1


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_nothing_is_left_behind(own_cluster, tmp_path, end):
    runs = subprocess.Popen(
        [sys.executable, "-c", RUNS, tmp_path / "plane"],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert runs.stdout is not None
    pids = [int(word) for word in runs.stdout.readline().split()]
    assert len(pids) == 4
    os.kill(runs.pid, end)
    runs.communicate(timeout=60)
    wait_for(lambda: not any(map(psutil.pid_exists, pids)), "the programs to end", seconds=10)
