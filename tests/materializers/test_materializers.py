"""Every artifact type through its materializer and a real local artifact store."""

import re
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import pytest
import torch
from PIL import Image
from zenml.artifact_stores import LocalArtifactStore, LocalArtifactStoreConfig
from zenml.enums import StackComponentType
from zenml.materializers.materializer_registry import materializer_registry

from materializers.decision import DecisionMaterializer
from materializers.folder import FolderMaterializer
from materializers.history import HistoryMaterializer
from materializers.manifest import ManifestMaterializer
from materializers.measurements import MeasurementsMaterializer
from materializers.pairs import PairSetMaterializer
from materializers.report import ReportMaterializer
from materializers.retriever import RetrieverMaterializer
from materializers.validation import ValidationMaterializer
from saga.data.manifest import DatasetManifest, build_manifest
from saga.encoders.configuration import PoolerConfig
from saga.encoders.poolers import build_pooler
from saga.encoders.preprocess import ImagePreprocessor
from saga.encoders.retriever import Retriever
from saga.encoders.towers import build_tower
from saga.errors import UserInputError
from saga.files import sha256_file
from saga.gates.gates import decide
from saga.gates.policy import GatePolicy
from saga.mining.configuration import MiningConfig
from saga.mining.miner import mine_pairs
from saga.retrieval.measurements import Measurements
from saga.training.history import TrainingHistory
from tests.checkpoints import VISION
from tests.retrieval.made import made_report

POLICY = {
    "name": "p",
    "gates": [
        {
            "id": "floor",
            "test": "value_threshold",
            "metric": "recall_at_1",
            "at_least": 0.1,
            "on": "point",
        }
    ],
}


@pytest.fixture
def store(tmp_path: Path) -> LocalArtifactStore:
    return LocalArtifactStore(
        name="local",
        id=uuid4(),
        config=LocalArtifactStoreConfig(path=str(tmp_path / "store")),
        flavor="local",
        type=StackComponentType.ARTIFACT_STORE,
        user=uuid4(),
        created=datetime.now(),
        updated=datetime.now(),
    )


def made_manifest(root: Path) -> DatasetManifest:
    rows = []
    for i in range(8):
        path = root / f"{i}.png"
        Image.new("RGB", (32, 24), (30 * i, 90, 200 - 20 * i)).save(path)
        rows.append(
            {
                "image_id": str(i),
                "path": path.name,
                "sha256": sha256_file(path),
                "class_id": i // 2,
                "class_name": f"class {i // 2}",
                "split": "train" if i < 4 else "test",
                "width": 32,
                "height": 24,
                "mode": "RGB",
            }
        )
    return build_manifest(rows, name="made", layout="folders", root=root)


def made(kind: str, root: Path) -> Any:
    if kind == "manifest":
        return made_manifest(root)
    if kind == "pairs":
        manifest = made_manifest(root)
        return mine_pairs(manifest.training(), MiningConfig(pairs=4), manifest.digest)
    if kind == "retriever":
        torch.manual_seed(0)
        tower = build_tower("qwen3_vl", VISION)
        preprocessor = ImagePreprocessor(32, (0.5,) * 3, (0.5,) * 3)
        return Retriever(tower, build_pooler(PoolerConfig(), 16), preprocessor, {"arm": "saga"})
    if kind == "history":
        rows = pd.DataFrame([{"step": 1, "loss/dml": 0.5}, {"step": 2, "loss/kl": 1.0}])
        return TrainingHistory(rows, {"arm": "saga", "steps": 2, "seconds": 1.5})
    if kind == "measurements":
        return Measurements("saga", "ab" * 32, {"encode_ms_p95": 4.5, "parameters": 12}, {"n": 3})
    report = made_report([4, 5, 6], 0.4)
    return report if kind == "report" else decide(GatePolicy.from_dict(POLICY), report)


CASES: dict[str, type[FolderMaterializer]] = {
    "manifest": ManifestMaterializer,
    "pairs": PairSetMaterializer,
    "retriever": RetrieverMaterializer,
    "history": HistoryMaterializer,
    "report": ReportMaterializer,
    "measurements": MeasurementsMaterializer,
    "decision": DecisionMaterializer,
}


def saved(kind: str, tmp_path: Path, store: LocalArtifactStore) -> tuple[Any, FolderMaterializer]:
    data = made(kind, tmp_path)
    uri = str(Path(store.path) / kind)
    store.makedirs(uri)
    materializer = CASES[kind](uri, store)
    materializer.save(data)
    return data, materializer


@pytest.mark.parametrize("kind", CASES)
def test_what_is_saved_is_loaded_with_the_same_digest(
    kind: str, tmp_path: Path, store: LocalArtifactStore
) -> None:
    data, materializer = saved(kind, tmp_path, store)
    again = materializer.load(type(data))
    assert type(again) is type(data) and again.digest == data.digest
    assert materializer.compute_content_hash(data) == data.digest
    assert materializer.extract_metadata(data)["digest"] == data.digest


@pytest.mark.parametrize("kind", CASES)
def test_files_are_open_formats_and_a_cut_one_is_refused(
    kind: str, tmp_path: Path, store: LocalArtifactStore
) -> None:
    data, materializer = saved(kind, tmp_path, store)
    files = [p for p in Path(materializer.uri).rglob("*") if p.is_file()]
    assert {p.suffix for p in files} <= {".safetensors", ".json", ".parquet", ".md"}
    biggest = max(files, key=lambda p: p.stat().st_size)
    biggest.write_bytes(biggest.read_bytes()[:-20])
    with pytest.raises(UserInputError):
        materializer.load(type(data))


@pytest.mark.parametrize("kind", CASES)
def test_another_digest_than_the_contents_is_refused(
    kind: str, tmp_path: Path, store: LocalArtifactStore
) -> None:
    data, materializer = saved(kind, tmp_path, store)
    changed = 0
    for path in Path(materializer.uri).rglob("*.json"):
        text = path.read_text()
        if kind == "retriever" or data.digest in text:
            path.write_text(re.sub("[0-9a-f]{64}", "0" * 64, text))
            changed += path.read_text() != text
    assert changed
    with pytest.raises(UserInputError):
        materializer.load(type(data))


@pytest.mark.parametrize("kind", CASES)
def test_pictures_are_drawn_into_the_artifacts_own_folder(
    kind: str, tmp_path: Path, store: LocalArtifactStore
) -> None:
    data, materializer = saved(kind, tmp_path, store)
    pictures = materializer.save_visualizations(data)
    assert len(pictures) == len(materializer.pictures(data)) > 0
    for uri in pictures:
        assert uri.startswith(materializer.uri) and Path(uri).stat().st_size > 10


def test_a_picture_that_cannot_be_drawn_does_not_cost_the_artifact(
    tmp_path: Path, store: LocalArtifactStore
) -> None:
    data, materializer = saved("manifest", tmp_path, store)
    for path in tmp_path.glob("*.png"):
        path.unlink()
    assert materializer.save_visualizations(data) == {}


@pytest.mark.parametrize("kind", [*CASES, "validation"])
def test_the_type_has_our_materializer_and_never_falls_to_pickle(kind: str, tmp_path: Path) -> None:
    materializer = (CASES | {"validation": ValidationMaterializer})[kind]
    (associated,) = materializer.ASSOCIATED_TYPES
    assert materializer_registry[associated] is materializer
