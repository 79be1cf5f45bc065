"""Tiny random checkpoints of both families, saved in the hub's format and loaded like the real ones."""

from pathlib import Path
from typing import Any

import pytest
import torch

from saga.encoders.tower import VisionTokens
from saga.supervisors.checkpoint import Checkpoint, load_checkpoint
from saga.supervisors.configuration import RolloutConfig, SupervisorConfig
from tests.checkpoints import write_tiny_internvl, write_tiny_qwen3_vl

IMAGE_SIZE = {"qwen3_vl": 64, "internvl": 64}
ROLLOUT = RolloutConfig(group_size=3, temperature=0.9, top_p=0.95, max_new_tokens=12)


@pytest.fixture(scope="session")
def tiny_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("checkpoints")
    write_tiny_qwen3_vl(root / "qwen3_vl")
    write_tiny_internvl(root / "internvl")
    return {family: root / family for family in IMAGE_SIZE}


@pytest.fixture(scope="session", params=sorted(IMAGE_SIZE))
def checkpoint(request: Any, tiny_folders: dict[str, Path]) -> Checkpoint:
    family = request.param
    config = SupervisorConfig(
        model=str(tiny_folders[family]), image_size=IMAGE_SIZE[family], device="cpu"
    )
    return load_checkpoint(config)


@pytest.fixture
def image_tokens(checkpoint: Checkpoint) -> VisionTokens:
    """Tokens of six random images."""
    size = IMAGE_SIZE[checkpoint.backbone.family]
    pixels = torch.rand(6, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        return checkpoint.tower(pixels)
