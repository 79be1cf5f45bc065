"""infra/kubernetes: every object is valid, and says what we mean by it."""

import copy
import json
import re
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml
from kubernetes_validate import utils as schemas

from pipelines.stacks.configuration import load_stack
from pipelines.stacks.pool import SecurityConfig
from pipelines.stacks.pools import FOLLOWS, orchestrator_pod, resources, step_pod
from pipelines.stacks.pools import ORCHESTRATOR as STARTER
from saga.settings.strict_yaml import parse, read_yaml
from tests.infra import kubernetes_crds as crds
from tests.infra.kubernetes_charts import CHARTS, undocumented
from tests.infra.kubernetes_checkov import report_on
from tests.infra.kubernetes_manifests import (
    BUILDS,
    FOLDER,
    OVERLAYS,
    RUNS,
    container_faults,
    objects,
    of_kind,
    pinned,
    quantity,
    rendered,
    title,
)
from tests.infra.kubernetes_network import Peer, may
from tests.infra.kubernetes_roles import granted_by
from tests.infra.permissions import (
    ACCOUNTS,
    ALLOWED,
    NAMESPACE,
    REFUSED,
    SUBMITTERS,
    Permission,
)

OLDEST = "1.30"
VERSIONS = sorted(
    {name for name in map(schemas.major_minor, schemas.all_versions()) if name >= OLDEST}
)
POOLS = {"cpu", "gpu-train", "gpu-eval"}
GPU = "nvidia.com/gpu"
PRIORITIES = ("saga-train", "saga-eval", "saga-monitor")

# checkov's checks that do not apply, and why. None so far: kustomize makes no pods here.
SKIPPED_CHECKS: dict[str, str] = {}


def changed(item, path, value):
    """A copy with one value set, at a path of keys and places."""
    copied = copy.deepcopy(item)
    inner = copied
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return copied


def is_kueue(item):
    return item["apiVersion"].startswith("kueue")


def is_custom(item):
    return is_kueue(item) or item["kind"] == "TrainingRuntime"


# Schemas ----------------------------------------------------------------------------------------


@pytest.fixture(autouse=True, scope="module")
def schemas_read_once():
    with pytest.MonkeyPatch.context() as patch:
        read, kept = schemas.schema_contents, {}

        def once(filename, desired_version):
            if filename not in kept:
                kept[filename] = read(filename, desired_version)
            return kept[filename]

        patch.setattr(schemas, "schema_contents", once)
        yield


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("kubernetes", VERSIONS)
def test_every_object_fits_the_strict_schema_of_each_kubernetes_version(build, kubernetes):
    checked = [item for item in objects(build) if not is_custom(item)]
    assert checked
    for item in checked:
        used = kubernetes_validate.validate(item, kubernetes, strict=True)
        assert used == kubernetes, title(item)


def test_the_versions_reach_from_the_oldest_supported_to_the_newest_known():
    assert VERSIONS[0] == OLDEST and len(VERSIONS) >= 8
    assert VERSIONS[-1] == schemas.major_minor(kubernetes_validate.latest_version())


def test_the_schemas_refuse_a_misspelt_field_and_a_number_in_place_of_a_text():
    quota = of_kind(objects("base"), "ResourceQuota")["saga"]
    misspelt = changed(quota, ("spec", "hards"), {})
    a_list = changed(quota, ("spec", "hard"), ["pods"])
    for wrong in (misspelt, a_list):
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_kueue_objects_fit_their_schemas():
    found = [item for item in objects("overlays/kueue") if is_kueue(item)]
    assert {item["kind"] for item in found} == set(crds.SPECS) - {"TrainingRuntime"}
    for item in found:
        crds.validate(item)


@pytest.mark.parametrize(
    ("kind", "name", "path", "value"),
    [
        ("ClusterQueue", "saga", ("spec", "queueingStrategy"), "Fifo"),
        ("ClusterQueue", "saga", ("spec", "cohort"), "all"),
        ("ClusterQueue", "saga", ("spec", "resourceGroups", 0, "flavors", 0, "resources"), []),
        ("ResourceFlavor", "saga-cpu", ("spec", "nodeLabel"), {}),
        ("ResourceFlavor", "saga-gpu-eval", ("spec", "nodeTaints", 0, "effect"), "NoExec"),
        ("LocalQueue", "default", ("spec", "clusterQueue"), ""),
        ("LocalQueue", "default", ("apiVersion",), "kueue.x-k8s.io/v1beta1"),
    ],
)
def test_the_schemas_of_kueue_refuse_what_its_controller_would(kind, name, path, value):
    item = of_kind(objects("overlays/kueue"), kind)[name]
    with pytest.raises(jsonschema.ValidationError):
        crds.validate(changed(item, path, value))


def runtime_of(name):
    return of_kind(objects(name), "TrainingRuntime")["saga"]


def nodes_job(runtime):
    """The Job of the nodes."""
    (job,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}} | {
        "spec": job["template"]["spec"]
    }


def test_the_runtime_of_trainings_fits_its_schema_and_its_job_that_of_kubernetes():
    crds.validate(runtime_of("overlays/trainer"))
    for kubernetes in VERSIONS:
        kubernetes_validate.validate(
            nodes_job(runtime_of("overlays/trainer")), kubernetes, strict=True
        )


POLICY = ("spec", "template", "spec", "failurePolicy")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("apiVersion",), "trainer.kubeflow.org/v2"),
        (("spec", "mlPolicy", "torch", "numProcPerNode"), "many"),
        (("spec", "mlpolicy"), {}),
        (("spec", "podGroupPolicy"), {"coscheduling": {"timeout": 1}}),
        ((*POLICY, "maxRestarts"), -1),
        ((*POLICY, "rules", 0, "action"), "Fail"),
        ((*POLICY, "rules", 0, "onJobFailureReasons"), ["Crashed"]),
        (("spec", "template", "spec", "replicatedJobs", 0, "name"), "worker"),
        (("spec", "template", "spec", "replicatedJobs", 0, "template", "metadata", "labels"), {}),
        (("metadata", "labels"), {}),
    ],
)
def test_the_schema_of_runtimes_refuses_what_the_controllers_would(path, value):
    with pytest.raises(jsonschema.ValidationError):
        crds.validate(changed(runtime_of("overlays/trainer"), path, value))


def test_a_gang_is_one_patch_of_the_runtime(tmp_path):
    (tmp_path / "kubernetes").symlink_to(FOLDER)
    (tmp_path / "mine").mkdir()
    mine = {
        "resources": ["../kubernetes/overlays/small"],
        "components": ["../kubernetes/components/trainer", "../kubernetes/components/gang"],
    }
    (tmp_path / "mine" / "kustomization.yaml").write_text(json.dumps(mine))
    made = list(yaml.safe_load_all(rendered(tmp_path / "mine")))
    runtime = of_kind(made, "TrainingRuntime")["saga"]
    crds.validate(runtime)
    assert runtime["spec"]["podGroupPolicy"]["coscheduling"]
    assert nodes_job(runtime)["spec"]["template"]["spec"]["schedulerName"]


def test_the_runtime_makes_the_pods_that_the_stack_describes(stack):
    pod = nodes_job(runtime_of("overlays/trainer"))["spec"]["template"]["spec"]
    pool = stack.pools[stack.pool_of("train_encoder")]
    ours = step_pod(stack, stack.pool_of("train_encoder"))["additional_pod_spec_args"]
    assert pod["priorityClassName"] == pool.priority_class
    assert pod["securityContext"] == ours["security_context"]
    assert pod["terminationGracePeriodSeconds"] == stack.jobs.stop_grace_seconds
    assert pod["automountServiceAccountToken"] is False


def test_a_disruption_is_asked_for_before_exit_codes_and_is_not_counted():
    runtime = runtime_of("overlays/trainer")
    first, *others = nodes_job(runtime)["spec"]["podFailurePolicy"]["rules"]
    assert (
        first["action"] == "FailJob" and first["onPodConditions"][0]["type"] == "DisruptionTarget"
    )
    assert all("onExitCodes" in rule for rule in others)
    rules = runtime["spec"]["template"]["spec"]["failurePolicy"]["rules"]
    answers = {reason: r["action"] for r in rules for reason in r.get("onJobFailureReasons", ())}
    assert answers["PodFailurePolicy"] == "RestartJobSetAndIgnoreMaxRestarts"
    assert answers["MaxFailedIndexesExceeded"] == "FailJobSet"


# Layout -----------------------------------------------------------------------------------------


def yaml_files():
    return sorted(FOLDER.rglob("*.yaml"))


def used_by(kustomization: Path) -> set[Path]:
    content = read_yaml(kustomization)
    named = [
        *content.get("resources", ()),
        *content.get("components", ()),
        *(patch["path"] for patch in content.get("patches", ())),
    ]
    paths = [(kustomization.parent / name).resolve() for name in named]
    return {path / "kustomization.yaml" if path.is_dir() else path for path in paths}


def test_every_file_is_part_of_a_build_or_said_to_be_otherwise():
    used = {path for file in FOLDER.rglob("kustomization.yaml") for path in used_by(file)}
    of_their_own = {
        *(FOLDER / name / "kustomization.yaml" for name in BUILDS),
        FOLDER / "components/node-cache/kustomization.yaml",
        FOLDER / "components/gang/kustomization.yaml",
        FOLDER / "overlays/kind/cluster.yaml",
        *(FOLDER / "helm").glob("*.yaml"),
    }
    assert {path.resolve() for path in yaml_files()} == used | of_their_own
    assert {path.name for path in (FOLDER / "overlays").iterdir()} == set(OVERLAYS)


def test_the_readme_names_every_file_and_no_other():
    text = (FOLDER / "README.md").read_text()
    named = set(re.findall(r"`([\w/-]+\.yaml)`", text))
    there = {str(path.relative_to(FOLDER)) for path in yaml_files()}
    assert named - {"configs/stacks/kubernetes.yaml"} == {
        name for name in there if not name.endswith("kustomization.yaml")
    }


@pytest.mark.parametrize("path", yaml_files(), ids=lambda path: str(path.relative_to(FOLDER)))
def test_no_key_is_given_twice(path):
    documents = re.split(r"^---$", path.read_text(), flags=re.MULTILINE)
    assert all(parse(document) for document in documents)


@pytest.mark.parametrize("build", BUILDS)
def test_objects_are_ours_and_in_a_namespace_that_the_build_makes(build):
    made = objects(build)
    namespaces = set(of_kind(made, "Namespace"))
    for item in made:
        assert item["metadata"]["labels"]["app.kubernetes.io/part-of"] == "saga", title(item)
        assert item["metadata"].get("namespace", min(namespaces)) in namespaces, title(item)


@pytest.mark.parametrize("build", BUILDS)
def test_no_secret_is_written_down(build):
    assert not of_kind(objects(build), "Secret")


def test_a_disk_takes_the_place_of_the_shared_cache_where_there_is_one_node(tmp_path):
    (tmp_path / "kubernetes").symlink_to(FOLDER)
    (tmp_path / "mine").mkdir()
    mine = {
        "resources": ["../kubernetes/overlays/aws"],
        "components": ["../kubernetes/components/node-cache"],
    }
    (tmp_path / "mine" / "kustomization.yaml").write_text(json.dumps(mine))
    made = list(yaml.safe_load_all(rendered(tmp_path / "mine")))
    claim = of_kind(made, "PersistentVolumeClaim")["saga-dataset-cache"]["spec"]
    disk = of_kind(made, "StorageClass")[claim["storageClassName"]]
    assert claim["accessModes"] == ["ReadWriteOnce"]
    assert (disk["provisioner"], disk["parameters"]) == (
        "ebs.csi.aws.com",
        {"type": "gp3", "encrypted": "true"},
    )
    assert not of_kind(made, "PersistentVolume")
    kubernetes_validate.validate(disk, VERSIONS[-1], strict=True)


# Pods -------------------------------------------------------------------------------------------

GOOD_POD = {
    "securityContext": {"runAsNonRoot": True},
    "containers": [
        {
            "name": "main",
            "image": "registry.example/saga:1.2",
            "securityContext": {
                "readOnlyRootFilesystem": True,
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            },
            "resources": {"limits": {"memory": "1Gi"}},
        }
    ],
}


def deployment(pod):
    spec = {"template": {"spec": pod}}
    return {"kind": "Deployment", "metadata": {"name": "x", "namespace": "saga"}, "spec": spec}


@pytest.mark.parametrize("build", BUILDS)
def test_containers_are_pinned_limited_and_without_privilege(build):
    assert [fault for item in objects(build) for fault in container_faults(item)] == []


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (("containers", 0, "image"), "registry.example:5000/saga", "not pinned"),
        (("containers", 0, "image"), "saga:latest", "not pinned"),
        (("securityContext",), {}, "run as root"),
        (("containers", 0, "securityContext", "readOnlyRootFilesystem"), False, "writable"),
        (("containers", 0, "securityContext", "capabilities"), {}, "capabilities"),
        (("containers", 0, "resources"), {}, "memory limit"),
    ],
)
def test_a_careless_container_is_found(path, value, fault):
    assert container_faults(deployment(GOOD_POD)) == []
    (found,) = container_faults(deployment(changed(GOOD_POD, path, value)))
    assert fault in found


@pytest.mark.parametrize(
    ("namespace", "build", "level"),
    [
        ("saga", "base", "restricted"),
        ("zenml", "platform", "restricted"),
        # Reason beside it: the device plugin writes on the host.
        ("saga-gpu", "platform", "privileged"),
    ],
)
def test_pod_security_is_enforced_at_a_pinned_version_and_warns_at_the_newest(
    namespace, build, level
):
    labels = of_kind(objects(build), "Namespace")[namespace]["metadata"]["labels"]
    security = "pod-security.kubernetes.io"
    assert labels[f"{security}/enforce"] == level
    assert labels[f"{security}/warn-version"] == "latest"
    if level == "restricted":
        assert labels[f"{security}/enforce-version"] == f"v{OLDEST}"


# Rights -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", RUNS)
def test_the_accounts_may_do_what_the_table_says_and_nothing_more(build):
    allowed = {right for right in granted_by(objects(build)) if ":" not in right.account}
    assert sorted(allowed) == sorted(ALLOWED)


@pytest.mark.parametrize("build", ["overlays/aws", "overlays/kueue", "overlays/trainer"])
def test_people_and_ci_have_the_rights_of_the_submitter(build):
    def of(account):
        return {
            (right.verb, right.resource, right.name, right.namespace)
            for right in granted_by(objects(build))
            if right.account == account
        }

    assert of(f"group:{SUBMITTERS}") == of("saga-submitter") != set()


def test_no_right_is_both_given_and_refused():
    assert not ALLOWED & REFUSED
    assert {right.account for right in ALLOWED | REFUSED} == set(ACCOUNTS)


def test_a_right_is_asked_as_kubectl_wants_it():
    log = Permission("saga-submitter", "get", "pods/log")
    as_submitter = "--as=system:serviceaccount:saga:saga-submitter"
    assert log.question() == ["get", "pods", "--subresource=log", as_submitter, "--namespace=saga"]
    one = Permission("saga-submitter", "get", "namespaces", name="saga", namespace="")
    assert one.question() == ["get", "namespaces/saga", as_submitter]


@pytest.mark.parametrize("build", BUILDS)
def test_no_role_has_a_wildcard_or_a_verb_that_widens_rights(build):
    for item in objects(build):
        for rule in item.get("rules", ()):
            words = {word for values in rule.values() for word in values}
            assert "*" not in words, title(item)
            assert not words & {"escalate", "bind", "impersonate", "nonResourceURLs"}, title(item)


def test_a_wider_role_differs_from_the_table():
    made = copy.deepcopy(objects("base"))
    of_kind(made, "Role")["saga-orchestrator"]["rules"][2]["verbs"].append("get")
    assert granted_by(made) - ALLOWED == {Permission("saga-orchestrator", "get", "secrets")}


def test_a_binding_to_a_role_that_is_not_ours_is_refused():
    made = copy.deepcopy(objects("base"))
    reference = of_kind(made, "ClusterRoleBinding")["saga-submitter-capacity-reader"]["roleRef"]
    reference["name"] = "cluster-admin"
    with pytest.raises(KeyError, match="cluster-admin"):
        granted_by(made)


def test_only_the_orchestrator_gets_a_token():
    accounts = of_kind(objects("base"), "ServiceAccount")
    assert set(accounts) == set(ACCOUNTS)
    mounted = {name for name, item in accounts.items() if item["automountServiceAccountToken"]}
    assert mounted == {"saga-orchestrator"}


# Network ----------------------------------------------------------------------------------------

OURS = {"app.kubernetes.io/name": "saga", "pipeline": "train"}
ORCHESTRATOR = {**OURS, "app.kubernetes.io/component": "orchestrator"}
STEP = {**OURS, "app.kubernetes.io/component": "step", "step_name": "train_encoder"}
STRAY: dict[str, str] = {}
PODS = (ORCHESTRATOR, STEP, STRAY)

DNS = Peer("kube-system", (("k8s-app", "kube-dns"),))
SERVER = Peer("zenml", (("app.kubernetes.io/name", "zenml"),))
STORE = Peer(address="52.216.10.20")
API_SERVER = Peer(address="10.96.0.1")
METADATA = Peer(address="169.254.169.254")
POD_IDENTITY = tuple(Peer(address=one) for one in ("169.254.170.23", "fd00:ec2::23"))
"""The agent of EKS, by both versions of IP."""
BESIDE_POD_IDENTITY = tuple(Peer(address=one) for one in ("169.254.170.22", "fd00:ec2::254"))
IN_VPC = Peer(address="10.0.3.4")
LOCAL_STORE = Peer("minio", namespace_labels=(("saga.dev/object-store", "true"),))


def out(made, pod, peer, port, protocol="TCP"):
    return may(made, "Egress", pod, peer, port, protocol)


@pytest.mark.parametrize("build", RUNS)
def test_everything_is_denied_by_default_in_both_directions(build):
    policy = of_kind(objects(build), "NetworkPolicy")["default-deny"]["spec"]
    assert policy == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize("build", RUNS)
@pytest.mark.parametrize("pod", PODS)
def test_nobody_gets_in(build, pod):
    made = objects(build)
    neighbours = (Peer("saga", tuple(STEP.items())), Peer("default"), SERVER, DNS, STORE)
    assert not any(
        may(made, "Ingress", pod, peer, port) for peer in neighbours for port in (80, 443, 29500)
    )


@pytest.mark.parametrize("build", RUNS)
@pytest.mark.parametrize("pod", PODS)
def test_every_pod_reaches_names_the_server_and_the_store_and_nothing_else(build, pod):
    made = objects(build)
    assert out(made, pod, DNS, 53) and out(made, pod, DNS, 53, "UDP")
    assert out(made, pod, SERVER, 8080) and out(made, pod, STORE, 443)
    shut = [
        (DNS, 9153),
        (SERVER, 3306),
        (STORE, 80),
        (STORE, 22),
        (METADATA, 80),
        (METADATA, 443),
        (Peer(address="169.254.170.2"), 80),
        (Peer(address="192.168.1.1"), 80),
        (Peer("saga", tuple(STEP.items())), 29500),
        (Peer("default", (("app.kubernetes.io/name", "zenml"),)), 8080),
    ]
    assert [peer for peer in shut if out(made, pod, *peer)] == []


@pytest.mark.parametrize("build", RUNS)
@pytest.mark.parametrize("port", [443, 6443])
def test_the_orchestrator_alone_reaches_the_api_server(build, port):
    made = objects(build)
    assert [pod for pod in PODS if out(made, pod, API_SERVER, port)] == [ORCHESTRATOR]


def test_pods_of_a_training_speak_to_each_other_and_its_step_to_the_api_server():
    made = objects("overlays/trainer")
    training = {**OURS, "app.kubernetes.io/component": "training"}
    peer = Peer("saga", tuple(training.items()))
    for port in (29500, 41234):
        assert may(made, "Ingress", training, peer, port) and out(made, training, peer, port)
        assert not out(made, STEP, peer, port)
        assert not may(made, "Ingress", training, Peer("saga", tuple(STEP.items())), port)
        assert not may(made, "Ingress", training, Peer("default", tuple(training.items())), port)
    assert out(made, {**STEP, FOLLOWS: "true"}, API_SERVER, 443)
    assert not out(made, training, API_SERVER, 443)


def test_what_a_cluster_needs_more_is_open_there_alone():
    def builds_that_open(peer, port):
        return {build for build in RUNS if out(objects(build), STEP, peer, port)}

    aws = {"overlays/aws", "overlays/kueue", "overlays/trainer"}
    for agent in POD_IDENTITY:
        assert builds_that_open(agent, 80) == aws and builds_that_open(agent, 443) == set()
    for other in BESIDE_POD_IDENTITY:
        assert builds_that_open(other, 80) == set()
    assert builds_that_open(IN_VPC, 443) == aws
    assert builds_that_open(LOCAL_STORE, 9000) == {"overlays/kind"}


def test_the_server_takes_runs_and_users_and_reaches_its_database():
    made = objects("platform")
    pod = {"app.kubernetes.io/name": "zenml"}

    def into(peer, port):
        return may(made, "Ingress", pod, peer, port, namespace="zenml")

    def from_it(peer, port):
        return may(made, "Egress", pod, peer, port, namespace="zenml")

    ingress = Peer("nginx", namespace_labels=(("saga.dev/ingress", "true"),))
    assert into(Peer("saga", tuple(STEP.items())), 8080) and into(ingress, 8080)
    assert not into(Peer("default"), 8080) and not into(ingress, 22)
    assert from_it(IN_VPC, 3306) and from_it(STORE, 443)
    assert not from_it(STORE, 3306) and not from_it(METADATA, 80)
    assert not may(made, "Egress", {}, STORE, 443, namespace="zenml")


def test_the_server_gets_its_role_from_the_agent_and_from_nowhere_near_it():
    made = objects("platform")
    server, stray = {"app.kubernetes.io/name": "zenml"}, {}

    def from_pod(pod, peer, port=80):
        return may(made, "Egress", pod, peer, port, namespace="zenml")

    for agent in POD_IDENTITY:
        assert from_pod(server, agent) and not from_pod(server, agent, 443)
        assert not from_pod(stray, agent)
    assert not any(from_pod(server, other) for other in (METADATA, *BESIDE_POD_IDENTITY))


# Capacity ---------------------------------------------------------------------------------------


def quota_of(made):
    return of_kind(made, "ResourceQuota")["saga"]["spec"]["hard"]


@pytest.mark.parametrize("build", RUNS)
def test_gpus_are_counted_and_nothing_is_offered_to_the_outside(build):
    quota = quota_of(objects(build))
    assert int(quota[f"requests.{GPU}"]) >= 1
    assert quota["services.loadbalancers"] == quota["services.nodeports"] == "0"


@pytest.mark.parametrize("build", RUNS)
def test_a_container_without_limits_gets_what_the_quota_counts(build):
    (of_container, _) = of_kind(objects(build), "LimitRange")["saga"]["spec"]["limits"]
    counted = {name for name in quota_of(objects(build)) if name in ("limits.memory", "limits.cpu")}
    assert {f"limits.{name}" for name in of_container["default"]} == counted
    assert set(of_container["defaultRequest"]) == {"cpu", "memory"}


@pytest.mark.parametrize("build", RUNS)
def test_no_maximum_becomes_the_default_of_every_container(build):
    # Where `max` has a resource and `default` has not, Kubernetes takes the maximum for both.
    for limit in of_kind(objects(build), "LimitRange")["saga"]["spec"]["limits"]:
        if limit["type"] == "Container":
            assert set(limit.get("max", ())) <= set(limit["default"])


@pytest.mark.parametrize("build", RUNS)
def test_the_cache_fits_into_the_quota_and_the_limit(build):
    made = objects(build)
    claim = of_kind(made, "PersistentVolumeClaim")["saga-dataset-cache"]["spec"]
    asked = quantity(claim["resources"]["requests"]["storage"])
    (_, of_claim) = of_kind(made, "LimitRange")["saga"]["spec"]["limits"]
    assert asked <= quantity(quota_of(made)["requests.storage"])
    assert asked <= quantity(of_claim["max"]["storage"])


@pytest.mark.parametrize(
    ("build", "modes"),
    [
        ("base", ["ReadWriteMany"]),
        ("overlays/small", ["ReadWriteOnce"]),
        ("overlays/kind", ["ReadWriteOnce"]),
        ("overlays/aws", ["ReadWriteMany"]),
    ],
)
def test_the_cache_is_shared_where_the_storage_class_can(build, modes):
    made = objects(build)
    claim = of_kind(made, "PersistentVolumeClaim")["saga-dataset-cache"]["spec"]
    assert claim["accessModes"] == modes
    ours = of_kind(made, "StorageClass")
    if ours:
        assert set(ours) == {claim["storageClassName"]}
        assert all(item["reclaimPolicy"] == "Retain" for item in ours.values())


def test_small_and_kind_ask_for_less_than_the_base():
    whole = quota_of(objects("base"))
    for name in ("small", "kind"):
        part = quota_of(objects(f"overlays/{name}"))
        assert set(part) == set(whole)
        assert all(quantity(part[key]) <= quantity(whole[key]) for key in whole)
        assert part != whole


def test_training_goes_first_and_nobody_is_evicted():
    classes = of_kind(objects("base"), "PriorityClass")
    by_rank = sorted(classes.values(), key=lambda item: -item["value"])
    assert tuple(item["metadata"]["name"] for item in by_rank) == PRIORITIES
    assert all(item["preemptionPolicy"] == "Never" for item in by_rank)
    assert not any(item["globalDefault"] for item in by_rank)


# Pools ------------------------------------------------------------------------------------------


def test_there_is_a_flavor_for_every_pool_with_its_label_and_taint():
    flavors = of_kind(objects("overlays/kueue"), "ResourceFlavor").values()
    pools = {item["spec"]["nodeLabels"]["saga.dev/pool"]: item["spec"] for item in flavors}
    assert set(pools) == POOLS
    for name, spec in pools.items():
        tainted = [taint["key"] for taint in spec.get("nodeTaints", ())]
        assert tainted == ([GPU] if name.startswith("gpu") else [])


def test_the_queue_has_every_flavor_once_with_every_resource_in_order():
    made = objects("overlays/kueue")
    queue = of_kind(made, "ClusterQueue")["saga"]["spec"]
    (group,) = queue["resourceGroups"]
    assert [flavor["name"] for flavor in group["flavors"]] == [
        f"saga-{name}" for name in ("cpu", "gpu-train", "gpu-eval")
    ]
    assert {f["name"] for f in group["flavors"]} == set(of_kind(made, "ResourceFlavor"))
    for flavor in group["flavors"]:
        assert [one["name"] for one in flavor["resources"]] == group["coveredResources"]
        (gpus,) = [one for one in flavor["resources"] if one["name"] == GPU]
        assert (int(gpus["nominalQuota"]) > 0) == flavor["name"].startswith("saga-gpu")


@pytest.mark.parametrize(
    ("resource", "counted"), [(GPU, f"requests.{GPU}"), ("cpu", "requests.cpu")]
)
def test_the_queue_admits_no_more_than_the_quota_lets_in(resource, counted):
    made = objects("overlays/kueue")
    (group,) = of_kind(made, "ClusterQueue")["saga"]["spec"]["resourceGroups"]
    admitted = sum(
        quantity(one["nominalQuota"])
        for flavor in group["flavors"]
        for one in flavor["resources"]
        if one["name"] == resource
    )
    assert 0 < admitted <= quantity(quota_of(made)[counted])


def test_jobs_without_a_label_find_the_queue():
    # ZenML does not label its Jobs; Kueue gives those the queue of this very name.
    made = objects("overlays/kueue")
    assert of_kind(made, "LocalQueue")["default"]["spec"] == {"clusterQueue": "saga"}
    selector = of_kind(made, "ClusterQueue")["saga"]["spec"]["namespaceSelector"]
    assert selector == {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}}


def test_the_workers_of_kind_are_the_pools():
    cluster = read_yaml(FOLDER / "overlays/kind/cluster.yaml")
    workers = {node["labels"]["saga.dev/pool"]: node for node in cluster["nodes"][1:]}
    assert set(workers) == POOLS
    for name, node in workers.items():
        joined = [parse(text) for text in node.get("kubeadmConfigPatches", ())]
        taints = [taint for patch in joined for taint in patch["nodeRegistration"]["taints"]]
        wanted = [{"key": GPU, "value": "present", "effect": "NoSchedule"}]
        assert taints == (wanted if name.startswith("gpu") else [])


# The stack that ships ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stack():
    return load_stack("kubernetes")


@pytest.mark.parametrize("build", RUNS)
def test_what_the_stack_names_is_here(stack, build):
    made = objects(build)
    assert stack.cluster.namespace in of_kind(made, "Namespace")
    accounts = {stack.service_accounts.orchestrator, stack.service_accounts.step}
    assert accounts <= set(of_kind(made, "ServiceAccount"))
    assert stack.cache.claim in of_kind(made, "PersistentVolumeClaim")
    classes = {pool.priority_class for pool in stack.pools.values()}
    assert classes <= set(of_kind(made, "PriorityClass"))


def test_the_pools_of_the_stack_are_those_of_the_queues(stack):
    flavors = of_kind(objects("overlays/kueue"), "ResourceFlavor")
    for name, pool in stack.pools.items():
        spec = flavors[f"saga-{name}"]["spec"]
        assert pool.labels == spec["nodeLabels"]
        assert [asdict(taint) for taint in pool.taints] == spec.get("nodeTaints", [])
    assert len(flavors) == len(stack.pools)


def test_a_pod_of_every_pool_fits_into_the_quotas_beside_the_orchestrator(stack):
    made = objects("overlays/kueue")
    (group,) = of_kind(made, "ClusterQueue")["saga"]["spec"]["resourceGroups"]
    queue = {
        flavor["name"]: {one["name"]: quantity(one["nominalQuota"]) for one in flavor["resources"]}
        for flavor in group["flavors"]
    }
    for name, pool in stack.pools.items():
        asked = {key: quantity(text) for key, text in resources(pool)["requests"].items()}
        beside = {key: quantity(text) for key, text in resources(STARTER)["requests"].items()}
        for key, number in asked.items():
            assert number + beside.get(key, 0) <= queue[f"saga-{name}"][key], (name, key)
            assert number + beside.get(key, 0) <= quantity(quota_of(made)[f"requests.{key}"])


def test_only_the_orchestrator_of_the_stack_reaches_the_api_server(stack):
    made = objects("base")
    assert out(made, orchestrator_pod(stack)["labels"], API_SERVER, 443)
    for name in stack.pools:
        assert not out(made, step_pod(stack, name)["labels"], API_SERVER, 443)


def test_the_pods_of_the_stack_are_what_the_namespace_enforces(stack):
    for pod in (orchestrator_pod(stack), *(step_pod(stack, name) for name in stack.pools)):
        container = {
            "name": "main",
            "image": stack.image,
            "securityContext": pod["container_security_context"],
            "resources": pod["resources"],
        }
        of_pod = pod["additional_pod_spec_args"]["security_context"]
        made = deployment({"securityContext": of_pod, "containers": [container]})
        assert container_faults(made) == []
        assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not any("hostPath" in volume for volume in pod["volumes"])


def test_the_shared_cache_belongs_to_the_user_of_the_pods():
    variables = (FOLDER.parent / "terraform" / "aws" / "variables.tf").read_text()
    (owner,) = re.findall(
        r'"cache_owner" \{.+?default += \{ uid = (\d+), gid = (\d+) \}', variables, re.S
    )
    user = SecurityConfig()
    assert owner == (str(user.run_as_user), str(user.group))


@pytest.mark.parametrize("build", ["overlays/aws", "overlays/kueue"])
def test_the_claim_of_the_cache_finds_the_volume_that_waits_for_it(build):
    made = objects(build)
    claim = of_kind(made, "PersistentVolumeClaim")["saga-dataset-cache"]
    (volume,) = (item["spec"] for item in of_kind(made, "PersistentVolume").values())
    wanted = {name: claim["metadata"][name] for name in ("namespace", "name")}
    assert volume["claimRef"] == wanted and volume["persistentVolumeReclaimPolicy"] == "Retain"
    asked = claim["spec"]
    assert volume["storageClassName"] == asked["storageClassName"]
    assert set(asked["accessModes"]) <= set(volume["accessModes"])
    assert quantity(volume["capacity"]["storage"]) >= quantity(
        asked["resources"]["requests"]["storage"]
    )
    assert re.fullmatch(r"fs-[0-9a-f]+::fsap-[0-9a-f]+", volume["csi"]["volumeHandle"])


# Helm -------------------------------------------------------------------------------------------


def values_of(chart):
    return read_yaml(FOLDER / "helm" / f"{chart}.yaml")


def test_every_values_file_is_checked():
    assert {path.stem for path in (FOLDER / "helm").iterdir()} == set(CHARTS)


@pytest.mark.parametrize("chart", CHARTS)
def test_values_are_those_that_the_chart_documents(chart):
    assert list(undocumented(values_of(chart), CHARTS[chart])) == []


def test_a_misspelt_value_is_named_with_its_place():
    values = changed(values_of("zenml-server"), ("zenml", "database", "sslVerify"), True)
    assert list(undocumented(values, CHARTS["zenml-server"])) == ["zenml.database.sslVerify"]


@pytest.mark.parametrize("chart", CHARTS)
def test_images_of_charts_are_pinned_and_limited(chart):
    values = values_of(chart)
    image = values.get("zenml", values)["image"]
    assert pinned(f"{image['repository']}:{image['tag']}")
    assert {"requests", "limits"} == set(values["resources"])


def test_the_server_is_of_the_version_that_the_client_is():
    assert values_of("zenml-server")["zenml"]["image"]["tag"] == version("zenml")


def test_the_server_has_an_external_database_whose_password_is_a_reference():
    server = values_of("zenml-server")["zenml"]
    database = server["database"]
    assert re.fullmatch(r"mysql://[^:@/]+@[^/]+:3306/\w+", database["url"])
    assert set(database["passwordSecretRef"]) == {"name", "key"}
    assert database["ssl"] and database["sslVerifyServerCert"]
    assert "jwtSecretKey" not in server["auth"] and "sql" not in server["secretsStore"]
    assert "secretEnvironment" not in server
    referenced = {item["name"] for item in server["environmentSecretKeyRefs"]}
    assert referenced == {"ZENML_SECRETS_STORE_ENCRYPTION_KEY", "ZENML_SERVER_JWT_SECRET_KEY"}


def test_the_secrets_that_values_name_are_made_in_the_readme():
    server = values_of("zenml-server")["zenml"]
    named = {
        server["database"]["passwordSecretRef"]["name"],
        server["database"]["sslCa"]["secretRef"]["name"],
        *(item["secretName"] for item in server["environmentSecretKeyRefs"]),
    }
    text = (FOLDER / "README.md").read_text()
    assert set(re.findall(r"create secret generic ([\w-]+)", text)) == named


def test_threads_of_the_server_never_wait_for_connections():
    server = values_of("zenml-server")["zenml"]
    connections = server["database"]["poolSize"] + server["database"]["maxOverflow"]
    assert connections >= server["threadPoolSize"] + server["authThreadPoolSize"]


def test_the_server_runs_restricted_as_its_namespace_enforces():
    values = values_of("zenml-server")
    context = {**values["podSecurityContext"], **values["securityContext"]}
    assert context["runAsNonRoot"] and context["runAsUser"] > 0
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}


def test_the_device_plugin_has_its_configurations_and_tolerates_the_pools():
    values = values_of("device-plugin")
    configurations = {name: parse(text) for name, text in values["config"]["map"].items()}
    assert values["config"]["default"] in configurations
    assert all(one["version"] == "v1" for one in configurations.values())
    assert "sharing" not in configurations[values["config"]["default"]]
    (shared,) = configurations["shared"]["sharing"]["timeSlicing"]["resources"]
    assert shared["name"] == GPU and shared["replicas"] > 1
    tolerates = [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}]
    assert values["tolerations"] == values["nfd"]["worker"]["tolerations"] == tolerates


def test_metrics_of_a_gpu_bear_the_labels_of_run_and_step():
    values = values_of("dcgm-exporter")
    patterns = values["kubernetes"]["podLabelAllowlistRegex"]
    labels = ("pipeline", "run_name", "step_name", "run_id", "project_id", "pod-template-hash")
    shown = [name for name in labels if any(re.search(one, name) for one in patterns)]
    assert shown == ["pipeline", "run_name", "step_name"]
    lines = values["customMetrics"].strip().splitlines()
    assert len(lines) >= 8
    assert all(re.fullmatch(r"DCGM_FI_\w+, +(gauge|counter), +\S.*", line) for line in lines)


# checkov ----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_checkov_finds_a_wildcard_put_beside_our_objects_and_nothing_else(tmp_path):
    role = of_kind(objects("base"), "ClusterRole")["saga-capacity-reader"]
    wide = changed(role, ("rules", 0), {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]})
    (tmp_path / "wide.yaml").write_text(json.dumps(wide))
    for build in BUILDS:
        (tmp_path / f"{build.replace('/', '-')}.yaml").write_text(rendered(FOLDER / build))
    found = report_on(tmp_path, tuple(SKIPPED_CHECKS))
    failed = found["results"]["failed_checks"]
    assert {one["file_path"] for one in failed} == {"/wide.yaml"}, failed
    assert "CKV_K8S_49" in {one["check_id"] for one in failed}
    assert found["summary"]["parsing_errors"] == 0 and found["summary"]["passed"] > 200
