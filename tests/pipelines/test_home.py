import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.home import home, use_embedded_zenml


def test_the_folder_is_dot_saga_or_what_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SAGA_HOME", raising=False)
    assert home() == tmp_path / ".saga"
    monkeypatch.setenv("SAGA_HOME", "elsewhere")
    assert home() == tmp_path / "elsewhere"


def test_a_zenml_that_was_imported_with_other_settings_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import zenml  # noqa: F401

    monkeypatch.setenv("SAGA_HOME", str(tmp_path))
    before = {k: v for k, v in os.environ.items() if k.startswith("ZENML_")}
    with pytest.raises(RuntimeError, match="imported before"):
        use_embedded_zenml()
    assert {k: v for k, v in os.environ.items() if k.startswith("ZENML_")} == before


def test_the_users_zenml_variables_are_set_aside(tmp_path: Path) -> None:
    script = (
        "from pipelines.home import use_embedded_zenml\n"
        "import os\n"
        "use_embedded_zenml()\n"
        "assert 'ZENML_STORE_URL' not in os.environ and 'ZENML_ACTIVE_STACK_ID' not in os.environ\n"
        "from zenml.client import Client\n"
        "print(Client().zen_store.url, Client().active_stack.name, Client.find_repository())\n"
    )
    (tmp_path / ".zen").mkdir()
    environment = os.environ | {
        "SAGA_HOME": str(tmp_path / "own"),
        "ZENML_STORE_URL": "https://not-there.invalid",
        "ZENML_ACTIVE_STACK_ID": "00000000-0000-0000-0000-000000000000",
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    url, stack, repository = done.stdout.split()
    assert url.startswith(f"sqlite:///{tmp_path / 'own' / 'zenml'}")
    assert (stack, repository) == ("default", "None")
