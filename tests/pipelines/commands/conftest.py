"""An encoder folder, photos, and `saga` in this process."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines import cli
from saga.encoders.configuration import PoolerConfig
from saga.encoders.poolers import build_pooler
from saga.encoders.retriever import Retriever
from saga.supervisors.checkpoint import load_checkpoint
from saga.supervisors.configuration import SupervisorConfig
from tests.checkpoints import write_tiny_qwen3_vl


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def facts(self) -> dict[str, Any]:
        return json.loads(self.out)


@pytest.fixture
def saga(capsys):
    """Runs a command; numbers and paths become its arguments."""

    def run(*arguments: object) -> Said:
        with pytest.raises(SystemExit) as caught:
            cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Said(int(caught.value.code), out, err)

    return run


def write_encoder(folder: Path, seed: int) -> Retriever:
    """A random Qwen3-VL tower with an attention pooler, D_e = 6."""
    source = folder.parent / f"{folder.name}-checkpoint"
    write_tiny_qwen3_vl(source, seed=seed)
    checkpoint = load_checkpoint(SupervisorConfig(str(source), image_size=32, device="cpu"))
    pooler = build_pooler(PoolerConfig("attention", 6, seed=seed), checkpoint.tower.width)
    retriever = Retriever(checkpoint.tower, pooler, checkpoint.preprocessor, {"seed": seed})
    retriever.save(folder)
    return retriever


@pytest.fixture(scope="session")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two encoders with different weights."""
    root = tmp_path_factory.mktemp("encoders")
    for seed, name in enumerate(("birds", "others")):
        write_encoder(root / name, seed)
    return {name: root / name for name in ("birds", "others")}


@pytest.fixture
def encoder(encoders: dict[str, Path]) -> Path:
    return encoders["birds"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five images in a folder, one of them deeper."""
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.jpg", "c.png", "deeper/d.png", "e.bmp"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(path)
    (tmp_path / "photos" / "notes.txt").write_text("not an image, and not asked for")
    return tmp_path / "photos"
