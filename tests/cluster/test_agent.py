"""The node agent: what Kubernetes promises of pods holds of its processes."""

import base64
import json

import pytest

from tests.cluster.agent.container import Process
from tests.cluster.agent.images import bare_image
from tests.cluster.agent.node import NodeSpec, Taint
from tests.cluster.agent.sandbox import Names, Security, isolated, with_environment
from tests.cluster.api import ApiError
from tests.cluster.cluster import wait_for
from tests.cluster.jobs import (
    DISRUPTIONS_ARE_NO_FAILURES,
    conditions,
    evict,
    finished,
    job,
    jobs,
    log,
    main,
    pod_in,
    pods,
    pods_of,
    run,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def fired(pools):
    """A schedule, made before the other tests: it fires at the full minute."""
    with pools.namespace("schedules") as space:
        path = f"/apis/batch/v1/namespaces/{space}/cronjobs"
        cron = {
            "metadata": {"name": "every-minute"},
            "spec": {
                "schedule": "* * * * *",
                "concurrencyPolicy": "Forbid",
                "jobTemplate": {"spec": job("unused", "echo fired")["spec"]},
            },
        }
        pools.api.create(path, cron)
        yield space


@pytest.fixture(autouse=True)
def _early(fired):
    pass


def test_a_job_on_the_gpu_pool_gets_its_gpus_on_the_tainted_node(pools, space):
    script = "echo devices=$CUDA_VISIBLE_DEVICES"
    pod, said = run(pools, space, job("trains", script, pool="gpu-train", gpus=2))
    assert pod["spec"]["nodeName"] == "gpu-train-0"
    assert said == "devices=0,1\n"
    pod, said = run(pools, space, job("loads", script))
    assert pod["spec"]["nodeName"] == "cpu-0"
    assert said == "devices=\n"


def test_two_pods_on_one_node_never_share_a_gpu(pools, space):
    script = "echo $CUDA_VISIBLE_DEVICES; sleep 60"
    for name in ("first", "second"):
        pools.api.create(jobs(space), job(name, script, pool="gpu-train", gpus=1))
    running = [pod_in(pools, space, name, "Running") for name in ("first", "second")]
    said = wait_for(
        lambda: (
            ([log(pools, pod) for pod in running])
            if all(log(pools, pod) for pod in running)
            else None
        ),
        "both to say their GPU",
    )
    assert sorted(said) == ["0\n", "1\n"]


def test_without_the_toleration_nothing_lands_on_the_gpu_node(pools, space):
    item = job("untolerated", "true", pool="gpu-eval")
    pools.api.create(jobs(space), item)
    assert "untolerated taint" in unschedulable(pools, space, "untolerated")


def test_without_a_free_gpu_a_pod_waits_and_the_scheduler_says_why(pools, space):
    pools.api.create(jobs(space), job("greedy", "true", pool="gpu-eval", gpus=3))
    assert "Insufficient nvidia.com/gpu" in unschedulable(pools, space, "greedy")


def test_a_waiting_pod_starts_when_the_gpu_is_given_back(pools, space):
    pools.api.create(jobs(space), job("holds", "sleep 60", pool="gpu-eval", gpus=2))
    holder = pod_in(pools, space, "holds", "Running")
    pools.api.create(jobs(space), job("waits", "true", pool="gpu-eval", gpus=1))
    assert "Insufficient nvidia.com/gpu" in unschedulable(pools, space, "waits")
    pools.api.delete(f"{jobs(space)}/holds", {"propagationPolicy": "Background"})
    assert conditions(finished(pools, space, "waits"))["Complete"] == "True"
    assert holder["metadata"]["uid"] not in {
        pod["metadata"]["uid"] for pod in pools.api.get(pods(space))["items"]
    }


def test_pools_of_any_label_taint_and_resource_work(own_cluster, pools, space):
    odd = NodeSpec(
        "odd-0",
        {"example.com/class": "big"},
        (Taint("example.com/reserved", "yes"),),
        devices=1,
        resource="amd.com/gpu",
    )
    item = job("odd", "echo $CUDA_VISIBLE_DEVICES")
    main(item)["resources"]["limits"] = {"amd.com/gpu": "1"}
    item["spec"]["template"]["spec"] |= {
        "nodeSelector": {"example.com/class": "big"},
        "tolerations": [{"key": "example.com/reserved", "operator": "Exists"}],
    }
    with own_cluster.nodes(odd):
        pod, said = run(pools, space, item)
    assert (pod["spec"]["nodeName"], said) == ("odd-0", "0\n")


def test_a_quota_that_is_used_up_is_told_in_an_event(pools, space):
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"requests.nvidia.com/gpu": "0"}}}
    pools.api.create(f"/api/v1/namespaces/{space}/resourcequotas", quota)
    wait_for(
        lambda: pools.api.get(f"/api/v1/namespaces/{space}/resourcequotas/none")["status"],
        "the quota to be counted",
    )
    pools.api.create(jobs(space), job("too-much", "true", pool="gpu-eval", gpus=1))
    told = wait_for(lambda: events(pools, space, "FailedCreate"), "the event")
    assert any("exceeded quota: none, requested: requests.nvidia.com/gpu=1" in t for t in told)


def test_the_environment_is_the_pods_and_nothing_of_the_machines(pools, space, monkeypatch):
    monkeypatch.setenv("ONLY_OF_THE_MACHINE", "1")
    api, inside = pools.api, f"/api/v1/namespaces/{space}"
    secret = base64.b64encode(b"s3cret").decode()
    api.create(f"{inside}/secrets", {"metadata": {"name": "token"}, "data": {"key": secret}})
    api.create(f"{inside}/configmaps", {"metadata": {"name": "words"}, "data": {"A": "from-map"}})
    item = job("speaks", "env", activeDeadlineSeconds=60)
    main(item)["env"] = [
        {"name": "LITERAL", "value": "x"},
        {"name": "REFERS", "value": "$(LITERAL)-$$(LITERAL)"},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "token", "key": "key"}}},
        {"name": "WORD", "valueFrom": {"configMapKeyRef": {"name": "words", "key": "A"}}},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {
            "name": "JOB",
            "valueFrom": {
                "fieldRef": {"fieldPath": "metadata.labels['batch.kubernetes.io/job-name']"}
            },
        },
    ]
    main(item)["envFrom"] = [{"prefix": "ALL_", "configMapRef": {"name": "words"}}]
    pod, said = run(pools, space, item)
    found = dict(line.split("=", 1) for line in said.splitlines())
    wanted = {
        "LITERAL": "x",
        "REFERS": "x-$(LITERAL)",
        "SECRET": "s3cret",
        "WORD": "from-map",
        "ALL_A": "from-map",
        "NODE": "cpu-0",
        "JOB": "speaks",
        "HOSTNAME": pod["metadata"]["name"],
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
    }
    assert {name: found.get(name) for name in wanted} == wanted
    assert "ONLY_OF_THE_MACHINE" not in found and "HOME" not in found


def test_a_missing_secret_is_told_and_the_pod_starts_once_it_is_there(pools, space):
    item = job("waits", "echo $SECRET")
    reference = {"secretKeyRef": {"name": "late", "key": "key"}}
    main(item)["env"] = [{"name": "SECRET", "valueFrom": reference}]
    pools.api.create(jobs(space), item)
    waiting = wait_for(lambda: told_waiting(pools, space, "waits"), "the reason")
    assert waiting["reason"] == "CreateContainerConfigError"
    assert 'secret "late" not found' in waiting["message"]
    secret = {"metadata": {"name": "late"}, "stringData": {"key": "came"}}
    pools.api.create(f"/api/v1/namespaces/{space}/secrets", secret)
    finished(pools, space, "waits")
    assert log(pools, pods_of(pools, space, "waits")[-1]) == "came\n"


def test_an_image_that_is_nowhere_is_told(pools, space):
    item = job("nowhere", "true")
    main(item)["image"] = "registry.example.com/other:1"
    pools.api.create(jobs(space), item)
    waiting = wait_for(lambda: told_waiting(pools, space, "nowhere"), "the reason")
    assert waiting["reason"] == "ErrImagePull"
    assert "registry.example.com/other:1" in waiting["message"]


def test_a_pods_token_is_its_accounts_and_dies_with_it(pools, space):
    item = job("asks", "cat /var/run/secrets/kubernetes.io/serviceaccount/token; sleep 60")
    item["spec"]["template"]["spec"]["automountServiceAccountToken"] = True
    pools.api.create(jobs(space), item)
    pod = pod_in(pools, space, "asks", "Running")
    token = wait_for(lambda: log(pools, pod), "the token")
    review = {"kind": "TokenReview", "spec": {"token": token}}
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    status = pools.api.create(path, review)["status"]
    assert status["user"]["username"] == f"system:serviceaccount:{space}:default"
    assert status["user"]["extra"]["authentication.kubernetes.io/pod-name"] == [
        pod["metadata"]["name"]
    ]
    pools.api.delete(f"{jobs(space)}/asks", {"propagationPolicy": "Background"})
    wait_for(lambda: not pools.api.create(path, review)["status"].get("authenticated"), "its end")


def test_the_project_runs_as_the_pods_user_with_a_read_only_root(pools, space):
    script = """
import json, os, saga, socket
def writes(path):
    try:
        open(path, "w").close()
        return True
    except OSError:
        return False
print(json.dumps({
    "user": [os.getuid(), os.getgid()],
    "pid": os.getpid(),
    "host": socket.gethostname(),
    "writes": [p for p in ("/tmp/x", "/cache/x", "/x", "/usr/x", os.path.dirname(saga.__file__) + "/x")
               if writes(p)],
    "homes": os.listdir("/home") if os.path.exists("/home") else [],
}))
"""
    item = job("project", "")
    main(item)["command"] = ["python", "-c", script]
    main(item)["volumeMounts"] = [
        {"name": "tmp", "mountPath": "/tmp"},
        {"name": "cache", "mountPath": "/cache"},
    ]
    main(item)["securityContext"] = {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
    }
    item["spec"]["template"]["spec"] |= {
        "securityContext": {"runAsUser": 4321, "runAsGroup": 4322, "runAsNonRoot": True},
        "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "cache", "emptyDir": {}}],
    }
    pod, said = run(pools, space, item)
    assert json.loads(said) == {
        "user": [4321, 4322],
        "pid": 1,
        "host": pod["metadata"]["name"],
        "writes": ["/tmp/x", "/cache/x"],
        "homes": [],
    }


def test_root_is_refused_where_the_pod_must_not_be_root(pools, space):
    item = job("root", "true")
    security = {"runAsUser": 0, "runAsNonRoot": True}
    item["spec"]["template"]["spec"]["securityContext"] = security
    pools.api.create(jobs(space), item)
    waiting = wait_for(lambda: told_waiting(pools, space, "root"), "the reason")
    assert "runAsNonRoot" in waiting["message"]


def test_a_claim_is_the_same_folder_for_pods_of_different_nodes(pools, space, tmp_path):
    pools.provide(space, "shared", tmp_path / "shared")
    written, read = job("writes", "echo kept > /data/file"), job("reads", "cat /data/file")
    read["spec"]["template"]["spec"]["nodeSelector"] = {"saga.dev/pool": "gpu-eval"}
    read["spec"]["template"]["spec"]["tolerations"] = [{"operator": "Exists"}]
    for item in (written, read):
        main(item)["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
        claim = {"persistentVolumeClaim": {"claimName": "shared"}}
        item["spec"]["template"]["spec"]["volumes"] = [{"name": "data", **claim}]
    run(pools, space, written)
    pod, said = run(pools, space, read)
    assert (pod["spec"]["nodeName"], said) == ("gpu-eval-0", "kept\n")


def test_exit_codes_and_times_reach_the_status(pools, space):
    pools.api.create(jobs(space), job("fails", "echo why >&2; exit 3", backoffLimit=0))
    assert conditions(finished(pools, space, "fails"))["Failed"] == "True"
    (pod,) = pods_of(pools, space, "fails")
    (status,) = pod["status"]["containerStatuses"]
    ended = status["state"]["terminated"]
    assert pod["status"]["phase"] == "Failed"
    assert (ended["exitCode"], ended["reason"]) == (3, "Error")
    assert ended["startedAt"] <= ended["finishedAt"]
    assert log(pools, pod) == "why\n"


def test_deletion_asks_first_and_kills_after_the_grace(pools, space):
    script = "trap 'echo asked; exit 0' TERM; echo ready; while :; do sleep 0.1; done"
    polite = job("polite", script)
    stubborn = job("stubborn", "trap '' TERM; echo ready; while :; do sleep 0.1; done")
    ends = {}
    for item, grace in ((polite, 30), (stubborn, 1)):
        item["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = grace
        # A finalizer keeps the object, so that its end can be read.
        item["spec"]["template"]["metadata"] = {"finalizers": ["example.com/keep"]}
        name = item["metadata"]["name"]
        pools.api.create(jobs(space), item)
        pod = pod_in(pools, space, name, "Running")
        wait_for(lambda pod=pod: "ready" in log(pools, pod), "its handler")
        path = f"{pods(space)}/{pod['metadata']['name']}"
        pools.api.delete(path)
        ends[name] = wait_for(lambda path=path: end_of(pools, path), f"the end of {name}")
        pools.api.delete(f"{jobs(space)}/{name}", {"propagationPolicy": "Background"})
        for left in pods_of(pools, space, name):
            kept = f"{pods(space)}/{left['metadata']['name']}"
            pools.api.patch(
                kept, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/keep"]}}
            )
    assert ends == {"polite": 0, "stubborn": 137}


@pytest.mark.usefixtures("pools")
def test_a_container_that_is_still_made_hears_it_when_it_runs(tmp_path):
    image = bare_image()
    (tmp_path / "root").mkdir()
    (tmp_path / "hosts").touch()
    script = "trap 'exit 5' TERM; while :; do sleep 0.1; done"
    command = isolated(
        tmp_path / "root",
        Names("hasty", tmp_path / "hosts"),
        image,
        [],
        Security(0, 0, (), read_only_root=False, no_new_privileges=False),
        with_environment(image, {}, {}, ["sh", "-c", script]),
    )
    process = Process(command, tmp_path / "log")
    process.ask_to_end()
    wait_for(lambda: process.ended, (tmp_path / "log").read_text(), 20)
    assert process.wait() == 5


def test_an_evicted_pod_is_made_again_and_burns_no_retry(pools, space):
    script = "[ -e /kept/evicted ] && exit 0; touch /kept/evicted; sleep 60"
    policy = DISRUPTIONS_ARE_NO_FAILURES
    item = job("evicted", script, pool="gpu-train", gpus=1, backoffLimit=0, podFailurePolicy=policy)
    pools.provide(space, "kept", pools.plane.folder / f"kept-{space}")
    main(item)["volumeMounts"] = [{"name": "kept", "mountPath": "/kept"}]
    item["spec"]["template"]["spec"] |= {
        "volumes": [{"name": "kept", "persistentVolumeClaim": {"claimName": "kept"}}],
        "terminationGracePeriodSeconds": 1,
    }
    pools.api.create(jobs(space), item)
    evict(pools, pod_in(pools, space, "evicted", "Running"))
    status = finished(pools, space, "evicted")
    assert conditions(status)["Complete"] == "True"
    assert status.get("failed", 0) == 0


def test_without_that_rule_an_eviction_is_a_failure(pools, space):
    item = job("burnt", "sleep 60", backoffLimit=0)
    item["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 1
    pools.api.create(jobs(space), item)
    evict(pools, pod_in(pools, space, "burnt", "Running"))
    assert conditions(finished(pools, space, "burnt"))["Failed"] == "True"


def test_logs_are_read_as_zenml_reads_them(pools, space):
    from kubernetes import client, config

    config_file = str(pools.plane.admin)
    api = client.CoreV1Api(config.new_client_from_config(config_file))
    pod, _ = run(pools, space, job("talks", "seq 1 100"))
    name = pod["metadata"]["name"]
    assert api.read_namespaced_pod_log(name, space, tail_lines=2) == "99\n100\n"
    assert api.read_namespaced_pod_log(name, space).splitlines()[0] == "1"


def test_a_followed_log_ends_with_the_pod(pools, space):
    pools.api.create(jobs(space), job("talks", "echo first; sleep 1; echo last"))
    pod = pod_in(pools, space, "talks", "Running")
    assert log(pools, pod, follow="true") == "first\nlast\n"


def test_only_the_api_server_may_read_logs_of_a_node(pools):
    import requests

    port = pools.api.get("/api/v1/nodes/cpu-0")["status"]["daemonEndpoints"]["kubeletEndpoint"]
    with pytest.raises(requests.exceptions.RequestException):
        requests.get(
            f"https://127.0.0.1:{port['Port']}/containerLogs/a/b/c", verify=False, timeout=5
        )


def test_a_node_sees_no_secret_that_none_of_its_pods_needs(pools, space):
    secret = {"metadata": {"name": "others"}, "stringData": {"key": "value"}}
    pools.api.create(f"/api/v1/namespaces/{space}/secrets", secret)
    (agent,) = [a for a in pools.agents if a.spec.name == "cpu-0"]
    with pytest.raises(ApiError, match="forbidden"):
        agent.api.get(f"/api/v1/namespaces/{space}/secrets/others")


def test_what_ended_while_the_api_server_was_away_is_told_afterwards(pools, space):
    pools.api.create(jobs(space), job("lasts", "sleep 2; echo over"))
    pod_in(pools, space, "lasts", "Running")
    pools.plane.restart_api_server(seconds=3)
    assert conditions(finished(pools, space, "lasts"))["Complete"] == "True"
    (pod,) = pods_of(pools, space, "lasts")
    assert log(pools, pod) == "over\n"


def test_a_finished_job_is_cleaned_up_by_its_ttl(pools, space):
    pools.api.create(jobs(space), job("short", "true", ttlSecondsAfterFinished=1))
    wait_for(lambda: pools.api.find(f"{jobs(space)}/short") is None, "the Job to go")
    wait_for(lambda: not pods_of(pools, space, "short"), "its pod to go")


def test_a_schedule_fires(pools, fired):
    def ended():
        return [
            j for j in pools.api.get(jobs(fired))["items"] if j.get("status", {}).get("succeeded")
        ]

    (first, *_) = wait_for(ended, "the full minute", seconds=90)
    (pod,) = pods_of(pools, fired, first["metadata"]["name"])
    assert log(pools, pod) == "fired\n"


def unschedulable(pools, space, name):
    def look():
        for pod in pods_of(pools, space, name):
            for entry in pod["status"].get("conditions", []):
                if (entry["type"], entry["status"]) == ("PodScheduled", "False"):
                    return entry["message"]
        return None

    message = wait_for(look, "the scheduler's reason")
    assert pods_of(pools, space, name)[0]["status"]["phase"] == "Pending"
    return message


def told_waiting(pools, space, name):
    for pod in pods_of(pools, space, name):
        for status in pod["status"].get("containerStatuses", []):
            waiting = status["state"].get("waiting", {})
            if waiting.get("message"):
                return waiting
    return None


def events(pools, space, reason):
    found = pools.api.get(f"/api/v1/namespaces/{space}/events")["items"]
    return [event["message"] for event in found if event["reason"] == reason]


def end_of(pools, path):
    pod = pools.api.get(path)
    (status,) = pod["status"]["containerStatuses"]
    ended = status["state"].get("terminated")
    return None if ended is None else Code(ended["exitCode"])


class Code(int):
    """An exit code; 0 is an answer too."""

    def __bool__(self):
        return True
