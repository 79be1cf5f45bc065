"""The AWS module: checked, and tried with a made-up provider."""

import json
import re
import subprocess

import pytest

from tests.infra.kubernetes_checkov import checkov
from tests.infra.terraform_program import (
    MODULE,
    Copy,
    copied,
    layouts,
    provider_folder,
    terraform,
)

EXCUSE = re.compile(r"^\s*#checkov:skip=(\w+):(.+)$", re.M)
TESTS = sorted(path.name for path in (MODULE / "tests").glob("*.tftest.hcl"))

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return copied(tmp_path_factory.mktemp("module"))


def test_the_provider_is_found_through_the_configuration_of_terraform(tmp_path, monkeypatch):
    unpacked, _ = layouts()
    program = tmp_path / "mirror" / unpacked.replace("*", "any.example", 1).replace("*", "_x5")
    program.parent.mkdir(parents=True)
    program.touch()
    written = f'provider_installation {{\n  filesystem_mirror {{\n    path = "{tmp_path}/mirror"\n  }}\n}}'
    (tmp_path / "terraformrc").write_text(written)
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(tmp_path / "terraformrc"))
    assert provider_folder() == tmp_path / "mirror"


def test_it_is_formatted():
    done = subprocess.run(
        [terraform(), "fmt", "-check", "-recursive", "-diff", str(MODULE)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout


def test_it_is_valid(module):
    said = json.loads(module.must("validate", "-json"))
    assert said["valid"] and said["diagnostics"] == []


@pytest.mark.parametrize("name", TESTS)
def test_its_own_tests_pass(module, name):
    module.must("test", "-no-color", f"-filter=tests/{name}")


def test_nothing_is_fetched_but_the_provider():
    written = "\n".join(path.read_text() for path in MODULE.glob("*.tf"))
    assert not re.findall(r'^module\s+"', written, re.M)
    assert re.findall(r'^\s*source\s*=\s*"(.+)"', written, re.M) == ["hashicorp/aws"]
    assert re.findall(r'^\s*version\s*=\s*"([\d.]+)"', written, re.M) == ["5.100.0"]


def test_the_readme_names_every_variable():
    names = re.findall(r'^variable "(\w+)"', (MODULE / "variables.tf").read_text(), re.M)
    text = (MODULE / "README.md").read_text()
    assert [name for name in names if f"`{name}`" not in text] == []


# checkov


def test_checkov_objects_to_what_is_excused_and_to_nothing_else(tmp_path):
    """Without the excuses, exactly the excused checks fail: none is hidden, none is stale."""
    excused: dict[str, str] = {}
    for path in MODULE.glob("*.tf"):
        written = path.read_text()
        excused |= dict(EXCUSE.findall(written))
        (tmp_path / path.name).write_text(EXCUSE.sub("", written))
    done = subprocess.run(
        [checkov(), "-d", tmp_path, "--framework", "terraform", "--skip-download"]
        + ["--quiet", "--compact", "--output", "json"],
        capture_output=True,
        text=True,
        timeout=280,
    )
    report = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0 and report["summary"]["passed"] > 100
    failed = {check["check_id"]: check["resource"] for check in report["results"]["failed_checks"]}
    assert failed.keys() == excused.keys(), failed
    assert all(len(reason.split()) >= 4 for reason in excused.values())
