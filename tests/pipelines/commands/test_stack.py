"""`saga stack` and `saga run --stack`, through the command line."""

import json

import pytest

from pipelines.cli import main
from tests.pipelines.stacks import stacks

pytest.importorskip("kubernetes", reason="the extra [kubernetes] is not installed")


def saga(capfd, *words):
    """Exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    out, err = capfd.readouterr()
    return ended.value.code, out, err


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A whole cluster behind the context `saga`."""
    import kubernetes.config.kube_config as loading

    from tests.pipelines.stacks.api import served
    from tests.pipelines.stacks.objects import whole

    with served() as api:
        path = str(api.kubeconfig(tmp_path))
        monkeypatch.setattr(loading, "KUBE_CONFIG_DEFAULT_LOCATION", path)
        whole(api)
        yield api


@pytest.fixture
def file(tmp_path):
    return str(stacks.written(tmp_path, without=("server", "artifact_store")))


def test_a_ready_cluster_is_said_to_be(cluster, file, capfd):
    code, out, _ = saga(capfd, "stack", "check", file)
    assert code == 0 and "The stack kubernetes is ready." in out
    assert out.index("note:") < out.index("is ready")


def test_what_blocks_comes_first_with_file_and_key_and_exit_code_2(cluster, file, capfd):
    from tests.pipelines.stacks.objects import ACCOUNTS

    cluster.put(ACCOUNTS)
    code, out, err = saga(capfd, "stack", "check", file)
    assert code == 2 and out == ""
    assert err.startswith(f"missing: {file}: service_accounts.orchestrator: There is no")
    assert "2 of these must be put right before a run." in err


def test_json_lists_the_findings(cluster, file, capfd):
    code, out, _ = saga(capfd, "stack", "check", file, "--json")
    found = json.loads(out)
    assert code == 0 and found["ready"] is True and found["status"] == "ok"
    assert {"key", "level", "message"} == set(found["findings"][0])


def test_apply_says_what_it_did(file, capfd):
    code, out, _ = saga(capfd, "stack", "apply", file, "--json")
    assert code == 0
    first = json.loads(out)
    assert first["stack"] == "kubernetes" and set(first["components"]) >= {"orchestrator"}
    code, out, _ = saga(capfd, "stack", "apply", file, "--json")
    again = json.loads(out)
    assert again["changed"] is False and set(again["components"].values()) == {"unchanged"}


def test_the_local_stack_needs_no_registration(capfd):
    code, out, _ = saga(capfd, "stack", "apply", "local")
    assert code == 0 and "nothing was changed" in out
    code, out, _ = saga(capfd, "stack", "check", "local")
    assert code == 0 and "The stack local is ready." in out


def test_an_unknown_stack_is_wrong_input(capfd):
    code, _, err = saga(capfd, "stack", "check", "kubernets")
    assert code == 2 and "Did you mean kubernetes?" in err


def test_a_run_is_refused_before_anything_is_submitted(cluster, file, capfd):
    from tests.pipelines.stacks.objects import BATCH, PRIORITIES

    cluster.put(PRIORITIES)
    code, _, err = saga(capfd, "run", "configs/embedded.yaml", "--stack", file)
    assert code == 2 and f"{file}: pools.gpu-train.priority_class:" in err
    assert BATCH not in [path for path, _ in cluster.made]


def test_a_run_whose_files_no_pod_sees_is_refused(file, capfd):
    code, _, err = saga(
        capfd, "run", "configs/cub200-photos.yaml", "--set", "dataset.root=here", "--stack", file
    )
    assert code == 2 and err.startswith("dataset.root: here is on none of the volumes")


def test_the_command_that_repeats_a_run_names_its_stack():
    from pipelines.commands.run import command_line, resume_hint

    assert command_line(None, ["a=b"], "our.yaml") == "saga run --stack our.yaml --set a=b"
    assert command_line(None, [], "local") == "saga run"
    assert "saga run --stack our.yaml" in resume_hint(None, [], "our.yaml")
