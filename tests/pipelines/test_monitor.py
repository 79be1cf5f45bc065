"""`saga monitor` on a registered version, through the command line and the embedded ZenML."""
# ruff: noqa: F401, F811 - `saga` is a fixture of the commands' tests

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from zenml import save_artifact
from zenml.client import Client
from zenml.model.utils import link_artifact_version_to_model_version

from materializers.manifest import ManifestMaterializer
from materializers.retriever import RetrieverMaterializer
from pipelines.execution import artifact
from saga.data.manifest import DatasetManifest, build_manifest
from saga.encoders.configuration import PoolerConfig
from saga.encoders.poolers import build_pooler
from saga.encoders.preprocess import ImagePreprocessor
from saga.encoders.retriever import Retriever
from saga.encoders.towers import build_tower
from saga.files import sha256_file
from tests.checkpoints import VISION
from tests.pipelines.commands.conftest import saga

POLICY = """
name: small
fewest_rows: 20
fewest_labels: 10
"""
CLASSES = ("wren", "robin", "<b>jay</b>", "owl")
_numbers = itertools.count()


def bird(class_id: int, rng: np.random.Generator, dark: float = 1.0) -> Image.Image:
    """A class is a colour, an image a noisy patch of it."""
    color = np.random.default_rng([5, class_id]).uniform(60, 200, 3)
    pixels = rng.normal(color, 25, (32, 32, 3)) * dark
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def dataset(root: Path) -> DatasetManifest:
    rng, rows = np.random.default_rng(0), []
    for number in range(80):
        class_id = number // 10
        path = f"{class_id}/{number:02d}.png"
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        bird(class_id, rng).save(root / path)
        rows.append(
            {
                "image_id": f"{number:02d}",
                "path": path,
                "sha256": sha256_file(root / path),
                "class_id": class_id,
                "class_name": CLASSES[class_id] if class_id < 4 else f"train {class_id}",
                "split": "test" if class_id < 4 else "train",
                "width": 32,
                "height": 32,
                "mode": "RGB",
            }
        )
    return build_manifest(rows, name="made", layout="folders", root=root)


def encoder() -> Retriever:
    torch.manual_seed(0)
    tower = build_tower("qwen3_vl", VISION)
    pooler = build_pooler(PoolerConfig("mean", tower.width), tower.width)
    return Retriever(tower, pooler, ImagePreprocessor(32, (0.5,) * 3, (0.5,) * 3), {"made": "here"})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Version 1 of a model, in production."""
    name = f"monitored-{next(_numbers)}"
    client = Client()
    client.create_model(name)
    version = client.create_model_version(name)
    values = {
        "manifest": (dataset(tmp_path_factory.mktemp("data")), ManifestMaterializer),
        "encoder_saga": (encoder(), RetrieverMaterializer),
    }
    for artifact_name, (value, materializer) in values.items():
        saved = save_artifact(
            value, artifact_name, materializer=materializer, include_visualizations=False
        )
        link_artifact_version_to_model_version(saved, version)
    version.set_stage("production")
    return name


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    (tmp_path / "policy.yaml").write_text(POLICY)
    return tmp_path / "policy.yaml"


def queries(folder: Path, dark: float = 1.0, each: int = 10, named: bool = False) -> Path:
    rng = np.random.default_rng(1)
    for class_id, name in enumerate(CLASSES):
        for number in range(each):
            # A name with a slash cannot be a folder; its images stay without a label.
            place = folder / name if named and "/" not in name else folder
            place.mkdir(parents=True, exist_ok=True)
            bird(class_id, rng, dark).save(place / f"{class_id}-{number}.png")
    return folder


def test_queries_of_the_same_kind_are_steady_and_the_run_is_a_consumer(
    saga,
    model,
    policy,
    tmp_path,
):
    folder = queries(tmp_path / "queries", named=True)
    output = tmp_path / "out"
    said = saga("monitor", model, folder, "--policy", policy, "--output", output, "--json")
    assert said.code == 0, said.err
    facts = said.facts
    assert facts["status"] == "ok" and facts["verdict"]["state"] in ("STEADY", "WATCH")
    assert facts["model"] == {"name": model, "version": "1"}
    assert facts["proposal"] is None and facts["retrain"] is False
    assert facts["drift"]["rows"] == {"queries": 40, "gallery": 40, "training": 40}
    assert facts["drift"]["facts"]["labelled_queries"] == 30
    assert facts["drift"]["figures"]["recall_at_1_queries"] > 0.5
    assert json.loads((output / "drift.json").read_text()) == {
        k: v for k, v in facts.items() if k != "status"
    }
    run = Client().get_pipeline_run(facts["run_id"])
    assert list(run.steps) == [
        "resolve_version",
        "measure_reference",
        "measure_queries",
        "measure_live_drift",
        "decide_retraining",
    ]
    used = Client().get_model_version(model, 1).get_artifact("encoder_saga").id
    inputs = run.steps["measure_queries"].inputs.values()
    assert used in {found.id for versions in inputs for found in versions}
    assert artifact(run, "drift").run_metadata["digest"] == facts["drift"]["digest"]


def test_other_queries_end_with_3_a_report_and_a_proposal_and_promote_nothing(
    saga,
    model,
    policy,
    tmp_path,
    monkeypatch,
):
    monkeypatch.chdir(tmp_path)
    folder = queries(tmp_path / "queries", dark=0.3)
    for path in list(folder.iterdir()):
        path.rename(folder / f"<i>{path.name}")
    versions = [v.stage for v in Client().list_model_versions(model=model).items]
    said = saga("monitor", f"{model}:production", folder, "--policy", policy)
    assert said.code == 3, said.err
    assert "RETRAIN" in said.out and f"saga run CONFIG --set model={model}" in said.out
    page = (tmp_path / "monitoring" / "drift.html").read_text()
    assert "RETRAIN" in page and "<i>" not in page and "&lt;i&gt;" in page
    facts = json.loads((tmp_path / "monitoring" / "drift.json").read_text())
    assert facts["retrain"] is True and facts["drift"]["warnings"]
    assert [v.stage for v in Client().list_model_versions(model=model).items] == versions


def test_too_few_queries_are_inconclusive_unless_the_policy_refuses(
    saga,
    model,
    policy,
    tmp_path,
):
    folder = queries(tmp_path / "queries", dark=0.3, each=2)
    output = tmp_path / "out"
    arguments = ("monitor", model, folder, "--policy", policy, "--output", output, "--json")
    said = saga(*arguments)
    assert said.code == 0 and said.facts["verdict"]["state"] == "INCONCLUSIVE", said.err
    assert "asks for 20" in said.facts["verdict"]["reason"]
    policy.write_text(POLICY + "on_inconclusive: refuse\n")
    again = saga(*arguments)
    assert again.code == 3
    steps = Client().get_pipeline_run(again.facts["run_id"]).steps
    assert steps["measure_reference"].status == "cached"
    assert steps["measure_queries"].status == "completed"


def test_a_file_of_labels_gives_recall(saga, model, policy, tmp_path):
    folder = queries(tmp_path / "queries")
    lines = [f"{c}-{n}.png,{name}" for c, name in enumerate(CLASSES) for n in range(10)]
    labels = tmp_path / "labels.csv"
    labels.write_text("\n".join(["image,class", *lines]))
    arguments = ("--policy", policy, "--labels", labels, "--output", tmp_path / "out", "--json")
    said = saga("monitor", model, folder, *arguments)
    assert said.code == 0, said.err
    assert said.facts["drift"]["facts"]["labelled_queries"] == 40
    assert "recall_loss_gallery" in said.facts["drift"]["thresholds"]


def test_what_cannot_be_monitored_is_refused_before_the_work(
    saga,
    model,
    policy,
    tmp_path,
):
    folder = queries(tmp_path / "queries", each=2)
    before = Client().list_pipeline_runs(size=1).total
    (folder / "text.png").write_text("<script>")
    (folder / "empty.jpg").write_bytes(b"")
    shutil.copy(policy, tmp_path / "wrong.yaml")
    (tmp_path / "wrong.yaml").write_text(POLICY + "fewest_row: 3\n")
    for arguments, problems in (
        ((model, folder), ("text.png", "empty.jpg")),
        ((model, tmp_path / "absent"), ("is not a folder",)),
        ((model, folder, "--policy", tmp_path / "wrong.yaml"), ("Nearest: fewest_rows",)),
        ((model, folder, "--labels", tmp_path / "no.csv"), ("cannot be read as CSV",)),
    ):
        said = saga("monitor", *arguments, "--output", tmp_path / "out")
        assert said.code == 2 and all(problem in said.err for problem in problems), said.err
    for name in ("text.png", "empty.jpg"):
        (folder / name).unlink()
    for name in (f"{model}x", f"{model}:7", f"{model}:prod"):
        said = saga("monitor", name, folder, "--output", tmp_path / "out")
        assert said.code == 2 and model in said.err, said.err
    assert Client().list_pipeline_runs(size=1).total == before
    assert not (tmp_path / "out").exists()
    assert f"{model}x" not in [found.name for found in Client().list_models(size=100).items]


def test_a_cut_off_image_is_named_and_leaves_no_report(
    saga,
    model,
    policy,
    tmp_path,
):
    folder = queries(tmp_path / "queries", each=2)
    whole = (folder / "0-0.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    said = saga("monitor", model, folder, "--output", tmp_path / "out")
    assert said.code == 2 and "cut.png: truncated or damaged" in said.err
    assert not (tmp_path / "out").exists()
