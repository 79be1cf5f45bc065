"""`check_stack` against an API server: what blocks, what warns, what may not be looked at."""

import json
from http.server import BaseHTTPRequestHandler

import pytest

from pipelines.stacks.checks import access, all, image, objects, outside
from pipelines.stacks.configuration import LocalStack
from saga.errors import UserInputError
from tests.pipelines.stacks import stacks
from tests.pipelines.stacks.objects import (
    ACCOUNTS,
    CLAIMS,
    NAMESPACES,
    NODES,
    PRIORITIES,
    RUNTIMES,
    VERSION,
    claim,
    named,
    whole,
)


@pytest.fixture
def cluster(api, tmp_path, monkeypatch):
    """A whole cluster, found through a kubeconfig."""
    import kubernetes.config.kube_config as loading

    monkeypatch.setattr(loading, "KUBE_CONFIG_DEFAULT_LOCATION", str(api.kubeconfig(tmp_path)))
    whole(api)
    return api


def findings(folder, changes=None, *, quick=True):
    found = stacks.shared(folder, changes)
    return {f.key: f for f in all.check_stack(found, quick=quick)}


def blocking(found):
    return {key for key, finding in found.items() if finding.level == "blocks"}


def test_a_local_stack_lacks_nothing():
    assert all.check_stack(LocalStack("local")) == []


def test_a_whole_cluster_is_ready(cluster, tmp_path):
    found = findings(tmp_path, quick=False)
    assert blocking(found) == set()
    assert found["image"].level == "tells" and "holds this version" in found["image"].message
    ((path, made),) = cluster.made
    assert cluster.deleted == [f"{path}/{made['metadata']['name']}"]


def test_the_image_is_looked_at_last_and_where_nothing_else_is_missing(cluster, tmp_path):
    cluster.put(ACCOUNTS)
    found = findings(tmp_path)
    assert "was not looked at (something else is missing)" in found["image"].message
    assert cluster.made == []


def test_an_unknown_context_names_those_that_there_are(cluster, tmp_path):
    found = findings(tmp_path, {"cluster.context": "sage"})
    assert blocking(found) == {"cluster.context"}
    assert "no context sage. The kubeconfig has: saga." in found["cluster.context"].message


def test_a_dead_api_server_is_one_finding(api, tmp_path, monkeypatch):
    import kubernetes.config.kube_config as loading

    api.url = "http://127.0.0.1:9"
    monkeypatch.setattr(loading, "KUBE_CONFIG_DEFAULT_LOCATION", str(api.kubeconfig(tmp_path)))
    found = findings(tmp_path)
    assert blocking(found) == {"cluster.context"}
    assert "http://127.0.0.1:9 does not answer" in found["cluster.context"].message


def test_an_expired_login_is_told(cluster, tmp_path):
    cluster.refused[VERSION] = 401
    assert "Log in to the cluster again" in findings(tmp_path)["cluster.context"].message


def test_a_missing_namespace_is_told_alone_with_the_nearest(cluster, tmp_path):
    cluster.put(NAMESPACES, named("sagas"), named("default"))
    found = findings(tmp_path)
    assert blocking(found) == {"cluster.namespace"}
    assert "Did you mean sagas?" in found["cluster.namespace"].message


def test_a_namespace_that_forbids_folders_of_nodes_is_told(cluster, tmp_path):
    space = named("saga")
    space["metadata"]["labels"] = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.put(NAMESPACES, space)
    local = {"cache.claim": None, "cache.host_path": "/shared"}
    assert blocking(findings(tmp_path, local)) == {"server", "cache.host_path"}
    assert list(access.namespace(stacks.stack(tmp_path), cluster.cluster())) == []


def test_missing_accounts_claims_and_classes_are_told_with_their_keys(cluster, tmp_path):
    for path in (ACCOUNTS, CLAIMS, PRIORITIES):
        cluster.put(path)
    cluster.put(RUNTIMES, named("nvidia-cdi", handler="nvidia"))
    found = findings(tmp_path, {"pools.gpu-train.runtime_class": "nvidia"})
    assert blocking(found) == {
        "service_accounts.orchestrator",
        "service_accounts.step",
        "cache.claim",
        "pools.cpu.priority_class",
        "pools.gpu-train.priority_class",
        "pools.gpu-eval.priority_class",
        "pools.gpu-train.runtime_class",
    }
    assert "nvidia-cdi" in found["pools.gpu-train.runtime_class"].message


def test_a_claim_for_one_node_warns(cluster, tmp_path):
    cluster.put(CLAIMS, claim("saga-dataset-cache", "ReadWriteOnce"))
    (told,) = objects.claims(stacks.shared(tmp_path), cluster.cluster())
    assert told.level == "warns" and "ReadWriteMany" in told.message


def test_what_you_may_not_do_is_listed(cluster, tmp_path):
    denied = {("create", "jobs"), ("get", "pods")}

    def allowed(spec):
        asked = spec["resourceAttributes"]
        return (asked["verb"], asked["resource"]) not in denied or "subresource" in asked

    cluster.allowed = allowed
    told = findings(tmp_path)["cluster.namespace"]
    assert told.level == "blocks"
    assert "You may not create jobs, get pods in saga" in told.message


def test_schedules_only_warn(cluster, tmp_path):
    cluster.allowed = lambda spec: spec["resourceAttributes"]["resource"] != "cronjobs"
    told = findings(tmp_path)["cluster.namespace"]
    assert told.level == "warns" and "saga schedule does not" in told.message


def test_what_the_orchestrator_may_not_do_blocks_what_steps_may_do_warns(cluster, tmp_path):
    cluster.allowed = lambda spec: "orchestrator" not in spec.get("user", "")
    found = findings(tmp_path, quick=False)
    assert found["service_accounts.orchestrator"].level == "blocks"
    assert "may not create jobs" in found["service_accounts.orchestrator"].message
    assert found["service_accounts.step"].level == "warns"
    assert "list secrets" in found["service_accounts.step"].message


def test_the_token_needs_rights_on_secrets(cluster, tmp_path):
    cluster.allowed = lambda spec: spec["resourceAttributes"]["resource"] != "secrets"
    with_server = stacks.stack(tmp_path)
    (told,) = access.own_rights(with_server, cluster.cluster())
    assert "create secrets, patch secrets" in told.message
    assert list(access.own_rights(stacks.shared(tmp_path), cluster.cluster())) == []


def test_what_may_not_be_looked_at_warns(cluster, tmp_path):
    cluster.refused[NODES] = 403
    told = findings(tmp_path)["pools"]
    assert told.level == "warns" and "The nodes could not be looked at: you may not" in told.message


def test_a_run_is_refused_with_file_and_key(cluster, tmp_path):
    cluster.put(ACCOUNTS, named("saga-step"))
    with pytest.raises(
        UserInputError, match=r"our\.yaml: service_accounts\.orchestrator: There is no"
    ):
        all.require(stacks.shared(tmp_path), "our.yaml")


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A ZenML server's info page; the fixture is what it says."""
    import threading
    from http.server import HTTPServer

    info = {"version": "0.98.0", "auth_scheme": "OAUTH2_PASSWORD_BEARER"}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(info).encode())

        def log_message(self, *arguments):
            pass

    serving = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=serving.serve_forever, args=(0.01,), daemon=True).start()
    info["url"] = f"http://127.0.0.1:{serving.server_port}"
    monkeypatch.delenv("SAGA_ZENML_API_KEY", raising=False)
    yield info
    serving.shutdown()
    serving.server_close()


def asked(folder, info, **changes):
    found = stacks.stack(folder, {"server.url": info["url"]} | changes)
    return {f.key: f.message for f in outside.server(found)}


def test_a_server_with_a_key_is_ready(tmp_path, server, monkeypatch):
    assert "SAGA_ZENML_API_KEY is not set" in asked(tmp_path, server)["server.api_key_variable"]
    monkeypatch.setenv("SAGA_ZENML_API_KEY", "k")
    assert asked(tmp_path, server) == {}


def test_a_server_of_another_version_blocks(tmp_path, server, monkeypatch):
    monkeypatch.setenv("SAGA_ZENML_API_KEY", "k")
    server["version"] = "0.97.0"
    assert "is ZenML 0.97.0, here is 0.98.0" in asked(tmp_path, server)["server.url"]


def test_a_server_without_authentication_hands_out_no_token(tmp_path, server):
    server["auth_scheme"] = "NO_AUTH"
    assert "server.token_as_secret" in asked(tmp_path, server)
    without = {"server.token_as_secret": False, "server.api_key_variable": None}
    assert asked(tmp_path, server, **without) == {}


def test_an_unreachable_server_blocks(tmp_path):
    found = stacks.stack(tmp_path, {"server.url": "http://127.0.0.1:9"})
    (told,) = outside.server(found)
    assert told.key == "server.url" and told.level == "blocks"


def test_a_folder_is_probed_and_left_clean(tmp_path):
    folder = tmp_path / "artifacts"
    good = stacks.stack(tmp_path, {"artifact_store.uri": str(folder)}, without=("server",))
    assert list(outside.store(good)) == [] and list(folder.iterdir()) == []
    (tmp_path / "file").write_text("")
    below = {"artifact_store.uri": str(tmp_path / "file" / "x")}
    bad = stacks.stack(tmp_path, below, without=("server",))
    (told,) = outside.store(bad)
    assert told.key == "artifact_store.uri" and told.level == "blocks"


def test_the_registry_should_be_the_images(tmp_path):
    (told,) = outside.registry(stacks.stack(tmp_path, {"registry.uri": "other.example.com"}))
    assert (told.key, told.level) == ("registry.uri", "warns")
    assert list(outside.registry(stacks.stack(tmp_path))) == []


def test_a_digest_cannot_move(tmp_path):
    tag = stacks.stack(tmp_path, {"image": "registry.example.com/saga:1"})
    assert "can be moved" in image.unseen(tag, "why").message
    pinned = stacks.stack(tmp_path, {"image": f"registry.example.com/saga@sha256:{'a' * 64}"})
    assert "can be moved" not in image.unseen(pinned, "why").message
