"""Cells whose figures are known because nobody trained them, and a program in place of a cell's."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from saga.files import replace_folder, write_json
from saga.retrieval.configuration import RetrievalConfig
from saga.retrieval.metrics import evaluate_embeddings
from saga.retrieval.report import RetrievalReport
from saga.settings.merging import merged
from saga.settings.typed import Problems, build, plain_values
from saga.studies.cells import Cell
from saga.studies.configuration import StudyConfig
from saga.studies.store import FACTS, REPORT, CellStore
from tests.studies.made import STUDY


def study(**changes: Any) -> StudyConfig:
    """The tiny study with some sections changed."""
    problems = Problems("tiny.yaml", StudyConfig)
    built = build(StudyConfig, merged(STUDY, changes), problems)
    problems.raise_all()
    assert built is not None
    return built


def report(name: str, dataset: str, right: float, seed: int) -> RetrievalReport:
    """Outcomes of 6 classes × 4 images; the higher `right`, the more are found."""
    rng = np.random.default_rng(seed)
    classes = np.repeat(np.arange(6), 4)
    frame = pd.DataFrame(
        {
            "image_id": [f"{c}-{i}" for i, c in enumerate(classes)],
            "class_id": classes,
            "class_name": [f"class {c}" for c in classes],
        }
    )
    vectors = rng.normal(size=(24, 6)) * (1 - right) + 3 * right * np.eye(6)[classes]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return evaluate_embeddings(
        vectors.astype(np.float32),
        frame,
        RetrievalConfig(),
        name=name,
        encoder_digest=f"encoder {name} {seed}",
        dataset_digest=dataset,
    )


def fill(store: CellStore, cell: Cell, right: float) -> RetrievalReport:
    """A whole cell in the store."""
    made = report(cell.arm, f"data {cell.regime} {cell.seed}", right, 10 * cell.seed + 1)
    with replace_folder(store.folder(cell)) as building:
        (building / REPORT).mkdir()
        made.save(building / REPORT)
        write_json(
            building / FACTS,
            {
                "name": cell.name,
                "key": cell.key,
                "metrics": made.metrics,
                "training": {"steps": 2, "seconds": 1.0} if cell.config.of == "train" else None,
                "report_digest": made.digest,
                "code": "c0de",
                "git_commit": "abc",
                "git_dirty": False,
                "seconds": 1.5,
                "config": plain_values(cell.config),
            },
        )
    return made


STUB = """
import json, sys, time
from pathlib import Path
job = json.loads(Path(sys.argv[1]).read_text())
with open({log!r}, "a") as file:
    file.write(job["name"] + "\\n")
if job["arm"] == {failing!r}:
    sys.exit("it broke")
if job["arm"] == {hanging!r}:
    time.sleep(600)
folder = Path(job["folder"])
folder.mkdir(parents=True, exist_ok=True)
(folder / "cell.json").write_text(json.dumps({{"key": job["key"]}}))
"""


def stub(folder: Path, failing: str = "", hanging: str = "") -> tuple[tuple[str, ...], Path]:
    """A program in place of the cell's, and the file in which it notes what it was asked for."""
    log = folder / "asked"
    log.touch()
    script = folder / "stub.py"
    script.write_text(STUB.format(log=str(log), failing=failing, hanging=hanging))
    return (sys.executable, str(script)), log
