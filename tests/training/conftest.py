"""Datasets and supervisors of the training tests."""

from pathlib import Path
from typing import Any

import pytest

from saga.data.manifest import DatasetManifest
from saga.supervisors.configuration import SupervisorConfig
from tests.checkpoints import write_tiny_internvl, write_tiny_qwen3_vl
from tests.training.made import SHORT_PROMPT, made_birds, tiny_supervisor

WRITERS = {"qwen3_vl": write_tiny_qwen3_vl, "internvl": write_tiny_internvl}


@pytest.fixture(scope="session")
def birds(tmp_path_factory: pytest.TempPathFactory) -> DatasetManifest:
    return made_birds(tmp_path_factory.mktemp("birds"))


@pytest.fixture(scope="session")
def prompt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prompt") / "short.yaml"
    path.write_text(SHORT_PROMPT)
    return path


@pytest.fixture(scope="session", params=sorted(WRITERS))
def tiny(request: Any, prompt: Path, tmp_path_factory: pytest.TempPathFactory) -> SupervisorConfig:
    """Each family's random checkpoint, to be asked with the short prompt."""
    folder = tmp_path_factory.mktemp("checkpoint") / request.param
    WRITERS[request.param](folder)
    return tiny_supervisor(folder, prompt)
