"""What a container is made of, without a cluster."""

import pytest

from tests.cluster.agent.devices import Devices
from tests.cluster.agent.environment import ConfigError, expanded, field
from tests.cluster.agent.hosts import host_name, hosts_file
from tests.cluster.agent.images import Image, images
from tests.cluster.agent.node import NodeSpec, Taint
from tests.cluster.agent.sandbox import security
from tests.cluster.agent.status import ContainerStatus, pod_status, running, terminated, waiting
from tests.cluster.agent.volumes import mounts


@pytest.fixture
def image(tmp_path):
    return Image(folders=(), environment={}, folder=tmp_path, user=10001)


def pod(**spec):
    return {"metadata": {"name": "p", "namespace": "n", "labels": {"a.b/c": "d"}}, "spec": spec}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("$(A)/x", "1/x"), ("$(UNKNOWN)", "$(UNKNOWN)"), ("$$(A)", "$(A)"), ("$A ${A}", "$A ${A}")],
)
def test_variables_are_replaced_as_kubernetes_does(text, wanted):
    assert expanded(text, {"A": "1"}) == wanted


def test_fields_of_a_pod():
    assert field(pod(), "metadata.name") == "p"
    assert field(pod(), "metadata.labels['a.b/c']") == "d"
    assert field(pod(), "metadata.annotations['none']") == ""
    with pytest.raises(ConfigError, match="fieldPath"):
        field(pod(), "metadata.name.deeper")


def test_the_containers_user_wins_over_the_pods_and_the_images(image):
    assert security(pod(), {}, image).user == 10001
    of_pod = pod(securityContext={"runAsUser": 1, "fsGroup": 7, "runAsNonRoot": True})
    assert security(of_pod, {}, image).user == 1
    assert security(of_pod, {}, image).groups == (7,)
    assert security(of_pod, {"securityContext": {"runAsUser": 2}}, image).user == 2
    with pytest.raises(ConfigError, match="runAsNonRoot"):
        security(of_pod, {"securityContext": {"runAsUser": 0}}, image)


def test_pods_of_an_indexed_job_know_each_other():
    of_a_job = pod(hostname="t-node-0-1", subdomain="t")
    assert host_name(of_a_job) == "t-node-0-1"
    assert "t-node-0-0.t" in hosts_file(of_a_job).split()
    assert "t-node-0-1.t.n.svc.cluster.local" in hosts_file(of_a_job).split()


def test_other_pods_know_themselves_alone():
    assert host_name(pod()) == "p"
    assert hosts_file(pod()) == "127.0.0.1 localhost p\n"


def test_images_are_found_by_their_whole_name():
    pull = images(r"registry\.example\.com/saga:.+")
    assert pull("registry.example.com/saga:1") is not None
    assert pull("registry.example.com/saga") is None
    assert pull("evil/registry.example.com/saga:1") is None


def test_devices_are_given_to_one_pod_at_a_time():
    devices = Devices(3)
    assert devices.take(2) == [0, 1]
    assert devices.take(2) is None
    assert devices.take(1) == [2]
    devices.give_back([1])
    assert devices.take(1) == [1]


def test_outer_folders_are_mounted_first(tmp_path):
    given = [{"name": "b", "mountPath": "/a/b"}, {"name": "a", "mountPath": "/a", "readOnly": True}]
    found = mounts({"volumeMounts": given}, {"a": tmp_path / "1", "b": tmp_path / "2"})
    assert [(str(m.target), m.read_only) for m in found] == [("/a", True), ("/a/b", False)]


def test_a_node_has_no_gpu_unless_it_says_so():
    assert "nvidia.com/gpu" not in NodeSpec("n").capacity()
    assert NodeSpec("n", devices=2, resource="amd.com/gpu").capacity()["amd.com/gpu"] == "2"
    (taint,) = NodeSpec("n", taints=(Taint("k", "v"),)).manifest()["spec"]["taints"]
    assert taint == {"key": "k", "value": "v", "effect": "NoSchedule"}


def test_a_signal_is_told_as_a_shell_tells_it():
    assert terminated(-9, "then")["terminated"]["exitCode"] == 137
    assert terminated(0, "then")["terminated"]["reason"] == "Completed"


def test_a_pod_is_ready_while_all_of_its_containers_run():
    def ready(*states):
        main = [ContainerStatus({"name": "c", "image": "i"}, state) for state in states]
        found = pod_status("Running", "then", [], main)["conditions"]
        return {entry["type"]: entry["status"] for entry in found}["Ready"]

    assert ready(running("then"), running("then")) == "True"
    assert ready(running("then"), waiting("ContainerCreating")) == "False"


def test_a_status_says_nothing_of_conditions_that_others_set():
    found = {entry["type"] for entry in pod_status("Failed", "then", [], [])["conditions"]}
    assert not found & {"DisruptionTarget", "PodScheduled"}
