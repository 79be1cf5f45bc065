"""The Jobs that ZenML's own orchestrator makes of the real pipeline on a cluster with pools."""

import json
import os
import sys
from types import SimpleNamespace
from unittest import mock

import pytest

from pipelines.configuration import DEFAULT_CONFIG, load_run_config
from pipelines.stacks.configuration import known_steps
from tests.pipelines.stacks import stacks
from tests.pipelines.stacks.api import served

POOLS = {
    "train_": "gpu-train",
    "untrained_": "gpu-train",
    "evaluate_": "gpu-eval",
    "measure_": "gpu-eval",
    "mine_": "gpu-eval",
}
BATCH = "/apis/batch/v1/namespaces/saga/jobs"


@pytest.fixture(scope="module")
def submitted(tmp_path_factory):
    """Every Job of a run: the orchestrator's under None, the steps' by their names."""
    from zenml.integrations.kubernetes.orchestrators import kubernetes_orchestrator as orchestrator
    from zenml.integrations.kubernetes.orchestrators import (
        kubernetes_orchestrator_entrypoint as entrypoint,
    )
    from zenml.orchestrators.dag_runner import DagRunner

    from pipelines.stacks.components import active, apply_stack
    from pipelines.stacks.running import submit
    from pipelines.train_and_judge import train_and_judge

    folder = tmp_path_factory.mktemp("manifests")
    place = stacks.shared(
        folder,
        {
            "pools.gpu-train.runtime_class": "nvidia",
            "pools.cpu.cores_limit": 4,
        },
    )
    run = load_run_config(DEFAULT_CONFIG, ["ablations=[]"])
    bound = {"code": "c", "supervisor_files": "s", "prompt": "p"}
    with served() as api:
        apply_stack(place)
        connection = api.cluster().api
        kubernetes = orchestrator.KubernetesOrchestrator
        with (
            active(place),
            mock.patch.object(
                kubernetes, "get_kube_client", lambda self, incluster=None: connection
            ),
            mock.patch.object(
                kubernetes, "get_kubernetes_contexts", lambda self: (["saga"], "saga")
            ),
        ):
            found, steps = submit(place, train_and_judge, (run, {}, {}, bound))
            (_, first), *_ = api.made
            pod = {
                "metadata": {"name": "starter", "labels": {"job-name": first["metadata"]["name"]}},
                "spec": {"containers": []},
            }
            api.objects["/api/v1/namespaces/saga/pods/starter"] = pod
            api.objects[f"{BATCH}/{first['metadata']['name']}"] = first
            arguments = ["x", "--snapshot_id", str(found.snapshot.id), "--run_id", str(found.id)]

            def start_all(self):
                for node in self.nodes.values():
                    self.node_startup_function(node)
                return {}

            with (
                mock.patch.object(sys, "argv", arguments),
                mock.patch.object(entrypoint.socket, "gethostname", lambda: "starter"),
                mock.patch.object(DagRunner, "run", start_all),
                mock.patch.object(entrypoint.kube_utils, "update_job"),
            ):
                entrypoint.main()
    jobs = {}
    for path, body in api.made:
        if path == BATCH:
            annotations = body["metadata"].get("annotations", {})
            jobs[annotations.get("zenml.io/step-name")] = body
    return SimpleNamespace(stack=place, jobs=jobs, steps=steps, folder=folder)


def pool_of(name):
    """By the step's name alone, as the bundled file says."""
    return next((pool for start, pool in POOLS.items() if (name or "").startswith(start)), "cpu")


def spec(job):
    return job["spec"]["template"]["spec"]


def container(job):
    (only,) = spec(job)["containers"]
    return only


def test_every_step_has_a_job_and_the_orchestrator_has_one(submitted):
    assert len(submitted.jobs) == submitted.steps + 1 and None in submitted.jobs


def test_every_pod_is_on_its_steps_pool(submitted):
    for name, job in submitted.jobs.items():
        pool = pool_of(name)
        assert spec(job)["nodeSelector"] == {"saga.dev/pool": pool}, name
        tolerated = [t["key"] for t in spec(job).get("tolerations") or []]
        assert tolerated == ([] if pool == "cpu" else ["nvidia.com/gpu"]), name


def test_devices_are_asked_for_as_text_in_requests_and_limits_and_nowhere_else(submitted):
    for name, job in submitted.jobs.items():
        given = container(job)["resources"]
        wanted = None if pool_of(name) == "cpu" else "1"
        assert given["requests"].get("nvidia.com/gpu") == wanted, name
        assert given["limits"].get("nvidia.com/gpu") == wanted, name


def test_memory_is_guaranteed_and_cores_may_be_lent(submitted):
    given = container(submitted.jobs["train_saga"])["resources"]
    assert given["requests"] == given["limits"]
    given = container(submitted.jobs["load_dataset"])["resources"]
    assert (given["requests"]["cpu"], given["limits"]["cpu"]) == ("2000m", "4000m")
    assert given["requests"]["memory"] == given["limits"]["memory"] == "8Gi"


def test_shared_memory_is_a_volume_in_memory_of_the_pools_size(submitted):
    job = submitted.jobs["train_saga"]
    volumes = {v["name"]: v for v in spec(job)["volumes"]}
    mounts = {m["mountPath"]: m["name"] for m in container(job)["volumeMounts"]}
    assert volumes[mounts["/dev/shm"]]["emptyDir"] == {"medium": "Memory", "sizeLimit": "16Gi"}
    assert volumes[mounts["/cache"]]["persistentVolumeClaim"] == {"claimName": "saga-dataset-cache"}


def test_disruptions_come_first_and_are_not_counted_refusals_are_not_tried_again(submitted):
    for name, job in submitted.jobs.items():
        rules = job["spec"]["podFailurePolicy"]["rules"]
        assert [rule["action"] for rule in rules] == ["Ignore", "FailJob", "Count"], name
        assert rules[0]["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
        assert rules[1]["onExitCodes"]["values"] == [2, 3, 4]


def test_steps_have_tries_for_pods_that_are_taken_away_too(submitted):
    limits = {name: job["spec"]["backoffLimit"] for name, job in submitted.jobs.items()}
    assert limits["train_saga"] == 2 + 3 + 1
    assert limits["measure_saga"] == 2 + 10 + 1  # on a spot pool
    assert limits[None] == 2


def test_times_are_limited_and_finished_jobs_go(submitted):
    for name, job in submitted.jobs.items():
        hours = 72 if name is None else 24
        assert job["spec"]["activeDeadlineSeconds"] == hours * 3600
        assert job["spec"]["ttlSecondsAfterFinished"] == 24 * 3600
        assert spec(job)["terminationGracePeriodSeconds"] == 120


def test_classes_and_accounts(submitted):
    training, starter = submitted.jobs["train_saga"], submitted.jobs[None]
    assert spec(training)["runtimeClassName"] == "nvidia"
    assert spec(training)["priorityClassName"] == "saga-train"
    assert spec(training)["serviceAccountName"] == "saga-step"
    assert spec(training)["automountServiceAccountToken"] is False
    assert spec(starter)["serviceAccountName"] == "saga-orchestrator"
    assert spec(starter)["automountServiceAccountToken"] is True
    assert "runtimeClassName" not in spec(starter)


def test_containers_have_no_rights_and_a_read_only_root(submitted):
    for job in submitted.jobs.values():
        security = container(job)["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]} and security["privileged"] is False


def test_the_image_runs_as_it_is(submitted):
    for job in submitted.jobs.values():
        assert container(job)["image"] == submitted.stack.image
        environment = {e["name"]: e.get("value") for e in container(job)["env"]}
        assert environment["SAGA_HOME"] == "/cache/saga" and environment["HOME"] == "/tmp"
        assert len(environment["SAGA_CODE_DIGEST"]) == 64


@pytest.mark.parametrize("version", ["1.30", "1.36"])
def test_every_job_is_strictly_valid(submitted, version):
    validate = pytest.importorskip(
        "kubernetes_validate", reason="kubernetes-validate is not installed"
    ).validate
    for name, job in submitted.jobs.items():
        whole = json.loads(json.dumps(job)) | {"apiVersion": "batch/v1", "kind": "Job"}
        # ZenML writes the client's own names beside those of the API, as nulls.
        security = container(whole)["securityContext"]
        container(whole)["securityContext"] = {k: v for k, v in security.items() if v is not None}
        assert validate(whole, version, strict=True), name


def test_steps_are_known_by_name(submitted):
    assert {"train_encoder", "load_dataset", "gate_candidate"} <= set(known_steps())
    assert "failures" not in known_steps()


def test_nothing_secret_is_in_a_job(submitted):
    os.environ.pop("SAGA_ZENML_API_KEY", None)
    for job in submitted.jobs.values():
        names = {e["name"] for e in container(job)["env"] if e.get("value")}
        assert not names & {"ZENML_STORE_API_TOKEN", "ZENML_STORE_API_KEY", "ZENML_STORE_PASSWORD"}


def test_autoscalers_leave_pods_where_they_are(submitted):
    for name, job in submitted.jobs.items():
        kept = job["spec"]["template"]["metadata"]["annotations"]
        assert kept["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false", name
        assert kept["karpenter.sh/do-not-disrupt"] == "true", name
