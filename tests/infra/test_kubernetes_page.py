"""docs/kubernetes.md: what it tells people to type and to copy is there, and fits together."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest

from pipelines import cli
from pipelines.configuration import load_run_config
from pipelines.stacks.configuration import read_stack
from pipelines.stacks.inputs import check_run
from pipelines.stacks.pools import ORCHESTRATOR, resources
from saga.settings.strict_yaml import read_yaml
from tests.infra.kubernetes_manifests import container_faults, objects, of_kind, quantity

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "kubernetes.md").read_text()
COMMANDS = [
    " ".join(line.split("#")[0].split()) for line in re.findall(r"^ {4,8}(\S.*)$", PAGE, re.M)
]
KIND = ROOT / "infra/kubernetes/overlays/kind/cluster.yaml"


@pytest.fixture(scope="module")
def laptop(tmp_path_factory):
    """The stack of the page."""
    (block,) = re.findall(r"```yaml\n(.+?)```", PAGE, re.S)
    path = tmp_path_factory.mktemp("laptop") / "laptop.yaml"
    path.write_text(block)
    return read_stack(path)


def test_every_file_that_it_names_is_there():
    named = set(re.findall(r"\b(?:configs|infra|tests)/[\w./-]*[\w]", PAGE))
    assert len(named) >= 8
    assert [name for name in named if not (ROOT / name).exists()] == []
    linked = re.findall(r"\]\(([\w./-]+)\)", PAGE)
    assert linked and all((ROOT / "docs" / path).exists() for path in linked)


def test_every_output_of_terraform_that_it_asks_for_is_one():
    asked = set(re.findall(r"terraform -chdir=\S+ output (?:-\w+ )?(\w+)", PAGE))
    made = re.findall(
        r'^output "(\w+)"', (ROOT / "infra/terraform/aws/outputs.tf").read_text(), re.M
    )
    assert asked == {"cluster", "overlay", "stack"} and asked <= set(made)


@pytest.mark.parametrize(
    "words", sorted({tuple(c.split()[1:3]) for c in COMMANDS if c.startswith("saga ")})
)
def test_every_command_of_saga_is_one(words, capsys):
    subcommand = words if words[0] in ("stack", "schedule") else words[:1]
    with pytest.raises(SystemExit) as ended:
        cli.main([*subcommand, "--help"])
    assert ended.value.code == 0 and capsys.readouterr().out


def test_the_clusters_of_kind_see_this_folder(tmp_path):
    if not shutil.which("sed"):
        pytest.skip("sed is not here")
    (command,) = re.findall(r"^ {4}(sed .+? >kind\.yaml)$", PAGE, re.M | re.S)
    there = command.replace("infra/kubernetes/overlays/kind/cluster.yaml", str(KIND))
    subprocess.run(["sh", "-c", there], cwd=tmp_path, check=True, timeout=20)
    made, given = read_yaml(tmp_path / "kind.yaml"), read_yaml(KIND)
    here = [{"hostPath": str(tmp_path), "containerPath": str(tmp_path)}]
    assert [node.pop("extraMounts") for node in made["nodes"]] == [here] * len(given["nodes"])
    assert made == given


def test_the_stack_of_the_page_runs_the_default_job_on_the_nodes_of_kind(laptop):
    check_run(load_run_config(ROOT / "configs" / "embedded.yaml", []), laptop, "laptop.yaml")
    workers = {node["labels"]["saga.dev/pool"] for node in read_yaml(KIND)["nodes"][1:]}
    assert {pool.labels["saga.dev/pool"] for pool in laptop.pools.values()} == workers
    for step in ("evaluate_retrieval", "evaluate_production", "measure_encoder"):
        assert laptop.pool_of(step) == "gpu-eval"


def test_one_step_at_a_time_fits_into_the_quota_of_kind(laptop):
    quota = of_kind(objects("overlays/kind"), "ResourceQuota")["saga"]["spec"]["hard"]
    assert laptop.jobs.parallel_steps == 1
    beside = resources(ORCHESTRATOR)
    for pool in laptop.pools.values():
        for kind, asked in resources(pool).items():
            for name, text in asked.items():
                if f"{kind}.{name}" in quota:
                    whole = quantity(text) + quantity(beside[kind].get(name, "0"))
                    assert whole <= quantity(quota[f"{kind}.{name}"]), (kind, name)


def test_the_pod_that_loads_images_is_what_the_namespace_enforces():
    (text,) = re.findall(r"<<'POD'\n(.+?)\n +POD$", PAGE, re.M | re.S)
    pod = json.loads(text)
    kubernetes_validate.validate(pod, "1.30", strict=True)
    pod["spec"]["containers"][0]["image"] = "registry.example/saga:0.1.0"
    assert container_faults(pod) == []
    assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    claims = of_kind(objects("base"), "PersistentVolumeClaim")
    assert pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] in claims
