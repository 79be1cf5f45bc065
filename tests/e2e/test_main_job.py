"""The main job on next to nothing, through the command line and the embedded ZenML."""

import json
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from saga.gates.policy import GatePolicy
from tests.e2e.command import SAGA, TINY, Done, environment, saga

POLICY = Path(__file__).parents[2] / "configs" / "gates" / "default.yaml"
METRICS = ("recall_at_1", "recall_at_2", "recall_at_4", "recall_at_8", "map_at_r", "nmi")
STEPS = {
    "load_dataset",
    "validate_dataset",
    "untrained_encoder",
    "mine_pairs",
    "train_dml",
    "train_kl_only",
    "train_saga",
    "evaluate_pretrained",
    "evaluate_dml",
    "evaluate_kl_only",
    "evaluate_saga",
    "evaluate_production",
    "measure_dml",
    "measure_saga",
    "measure_drift",
    "gate_candidate",
}
NEVER_REUSED = {
    "load_dataset",
    "evaluate_pretrained",
    "evaluate_dml",
    "evaluate_kl_only",
    "evaluate_saga",
    "evaluate_production",
    "measure_dml",
    "measure_saga",
    "measure_drift",
    "gate_candidate",
}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workplace")


@pytest.fixture(scope="module")
def users_zenml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Settings of the user's own ZenML, which no run may read or change."""
    folder = tmp_path_factory.mktemp("users_zenml")
    (folder / "config.yaml").write_text("this: is not a configuration of ZenML\n")
    return folder


@pytest.fixture(scope="module")
def first(workplace: Path, users_zenml: Path) -> Done:
    return saga("run", TINY, "--json", folder=workplace, ZENML_CONFIG_PATH=str(users_zenml))


@pytest.fixture(scope="module")
def second(workplace: Path, first: Done) -> Done:
    return saga("run", TINY, "--json", folder=workplace)


def test_the_summary_holds_what_a_run_promises(first: Done, workplace: Path) -> None:
    assert first.code in (0, 3), first.err
    summary = first.json
    assert summary["status"] == ("ok" if first.code == 0 else "refused")
    assert summary == json.loads(
        (workplace / "runs" / summary["run_id"] / "summary.json").read_text()
    )
    assert summary["model"] == {"name": "tiny", "version": 1}
    data = summary["dataset"]
    assert (data["images"], data["train_classes"], data["test_classes"]) == (40, 4, 6)
    assert list(summary["methods"]) == ["pretrained", "dml", "kl_only", "saga"]
    assert {"saga-dml", "saga-kl_only", "saga-pretrained"} <= summary["differences"].keys()
    for method in summary["methods"]:
        figures = summary["methods"][method]
        assert all(0 <= figures[metric] <= 1 for metric in METRICS)
        assert figures["steps"] == (0 if method == "pretrained" else 6)
    assert (summary["methods"]["dml"]["train_seconds"] > 0) and summary["methods"]["saga"][
        "seed"
    ] == 0
    assert 0 <= summary["training"]["contributing_share"] <= 1
    assert 0 <= summary["training"]["reward_last"] <= 1
    gates = summary["gate"]["gates"]
    assert [gate["id"] for gate in gates] == [gate.id for gate in GatePolicy.load(POLICY).gates]
    assert all(gate["reason"] for gate in gates)
    blocks = any(gate["effect"] == "blocks" for gate in gates)
    assert blocks is (summary["gate"]["status"] != "PASS") is (first.code == 3)
    assert set(summary["timings"]) == STEPS and summary["peak_memory_bytes"] > 1 << 28
    assert {"git_commit", "git_dirty", "versions"} <= summary["environment"].keys()
    digests = {name: a["digest"] for name, a in summary["artifacts"].items()}
    assert {"manifest", "pairs", "encoder_dml", "encoder_saga", "decision"} <= digests.keys()
    assert all(
        digests[n] for n in ("manifest", "validation", "pairs", "encoder_saga", "report_saga")
    )


def test_the_report_and_the_validation_page_stand_beside_the_summary(
    first: Done, workplace: Path
) -> None:
    folder = workplace / "runs" / first.json["run_id"]
    report = (folder / "report.html").read_text()
    assert report.count("data:image/png") >= 4
    assert "http://" not in report and "https://" not in report and "<script" not in report
    assert (folder / "validation.html").read_text().startswith("<!doctype html>")
    assert sorted(p.name for p in folder.iterdir()) == [
        "config.json",
        "report.html",
        "summary.json",
        "validation.html",
    ]


def test_progress_goes_to_stderr_and_libraries_are_quiet(first: Done) -> None:
    lines = first.err.splitlines()
    assert any(line.startswith("train saga: 6 of 6, reward") for line in lines)
    assert len(lines) < 60, first.err


def test_the_users_own_zenml_is_neither_read_nor_changed(first: Done, users_zenml: Path) -> None:
    assert first.code in (0, 3)
    assert [p.name for p in users_zenml.iterdir()] == ["config.yaml"]
    assert (users_zenml / "config.yaml").read_text().startswith("this: is not")


def test_a_second_run_reuses_training_but_never_evaluation_and_gates(
    first: Done, second: Done
) -> None:
    assert second.code == first.code, second.err
    a, b = first.json, second.json
    assert set(b["reused_steps"]) == STEPS - NEVER_REUSED and a["reused_steps"] == []
    assert b["model"]["version"] == 2
    for name in ("manifest", "pairs", "encoder_saga", "encoder_dml"):
        assert a["artifacts"][name]["digest"] == b["artifacts"][name]["digest"]
    for method in ("pretrained", "dml", "saga"):
        assert [a["methods"][method][m] for m in METRICS] == [
            b["methods"][method][m] for m in METRICS
        ]


def test_another_seed_trains_anew_on_the_same_data(workplace: Path, first: Done) -> None:
    done = saga("run", TINY, "--set", "training.seed=1", "--json", folder=workplace)
    assert done.code in (0, 3), done.err
    a, b = first.json["artifacts"], done.json["artifacts"]
    assert set(done.json["reused_steps"]) >= {"validate_dataset", "mine_pairs"}
    assert not {"train_saga", "train_dml"} & set(done.json["reused_steps"])
    assert a["manifest"]["digest"] == b["manifest"]["digest"]
    assert a["encoder_saga"]["digest"] != b["encoder_saga"]["digest"]


def test_no_artifact_is_a_pickle_and_the_checkpoints_are_gone(
    second: Done, workplace: Path
) -> None:
    assert second.code in (0, 3)
    files = [p for p in (workplace / ".saga" / "zenml" / "local_stores").rglob("*") if p.is_file()]
    endings = {p.suffix for p in files}
    assert endings <= {".safetensors", ".json", ".parquet", ".md", ".html", ".png", ".csv", ".db"}
    assert list((workplace / ".saga" / "checkpoints").iterdir()) == []


def test_the_registered_encoder_is_exported_and_judged_the_same(
    first: Done, second: Done, workplace: Path
) -> None:
    exported = saga("export", "tiny:1", "birds", "--json", folder=workplace)
    assert exported.code == 0, exported.err
    assert exported.json["encoder_digest"] == first.json["artifacts"]["encoder_saga"]["digest"]
    judged = saga("evaluate", "birds", TINY, "--json", folder=workplace)
    assert judged.code == 0, judged.err
    for metric in METRICS:
        assert judged.json["metrics"][metric] == pytest.approx(
            first.json["methods"]["saga"][metric]
        )
    absent = saga("export", "tiny:77", "other", folder=workplace)
    assert absent.code == 2 and "There is no tiny:77" in absent.err and "2, 1" in absent.err
    assert not (workplace / "other").exists()


def test_an_interrupted_run_says_how_to_resume_and_ends_with_the_same_weights(
    first: Done, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [SAGA, "run", TINY],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 200
    pointer: list[Path] = []
    while not pointer and process.poll() is None and time.monotonic() < deadline:
        pointer = list((tmp_path / ".saga" / "checkpoints").glob("saga-*/latest.json"))
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 130, (out, err)
    assert f"goes on from its last checkpoint: saga run {TINY}" in err
    resumed = saga("run", TINY, "--json", folder=tmp_path)
    assert resumed.code == first.code, resumed.err
    assert {"train_dml", "mine_pairs"} <= set(resumed.json["reused_steps"])
    for name in ("encoder_dml", "encoder_saga"):
        a, b = first.json["artifacts"][name], resumed.json["artifacts"][name]
        assert a["digest"] == b["digest"]


@pytest.fixture
def leaking_photos(tmp_path: Path) -> Path:
    """Class folders in which a test image is also a training image."""
    rng = np.random.default_rng(0)
    for split, names in (("train", "ab"), ("test", "cd")):
        for name in names:
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for i in range(3):
                pixels = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{name}{i}.png")
    leak = tmp_path / "photos" / "train" / "a" / "a0.png"
    (tmp_path / "photos" / "test" / "c" / "c9.png").write_bytes(leak.read_bytes())
    return tmp_path / "photos"


def test_a_dataset_that_fails_its_validation_is_refused_before_any_training(
    leaking_photos: Path, tmp_path: Path
) -> None:
    done = saga(
        "run",
        TINY,
        "--set",
        "dataset.layout=folders",
        "--set",
        f"dataset.root={leaking_photos}",
        "--set",
        "training.classes_per_batch=2",
        "--json",
        folder=tmp_path,
    )
    assert done.code == 3, done.err
    assert done.json["status"] == "refused" and "c9.png" in done.json["message"]
    (run,) = (tmp_path / "runs").iterdir()
    summary = json.loads((run / "summary.json").read_text())
    assert summary["status"] == "refused" and not {"train_dml", "train_saga"} & set(
        summary["timings"]
    )
    assert "c9.png" in (run / "validation.html").read_text()
    alone = saga("validate", leaking_photos, "--json", folder=tmp_path)
    assert alone.code == 3 and alone.json["validation"]["success"] is False
    assert not pd.isna(alone.json["dataset"]["digest"])
