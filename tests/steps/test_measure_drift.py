"""The step inside a pipeline, with and without a version in production."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
from zenml import pipeline, step

from materializers.manifest import ManifestMaterializer
from materializers.report import ReportMaterializer
from materializers.retriever import RetrieverMaterializer
from pipelines.execution import load
from saga.data.manifest import DatasetManifest
from saga.encoders.retriever import Retriever
from saga.monitoring.policy import DriftPolicy
from saga.retrieval.configuration import RetrievalConfig
from saga.retrieval.metrics import evaluate_embeddings
from saga.retrieval.report import RetrievalReport
from steps.measure_drift import measure_drift
from tests.pipelines.test_monitor import encoder
from tests.steps.made import made_dataset


@step(
    enable_cache=False,
    output_materializers={
        "manifest": ManifestMaterializer,
        "encoder": RetrieverMaterializer,
        "report": ReportMaterializer,
    },
)
def judged(
    folder: str,
) -> tuple[
    Annotated[DatasetManifest, "manifest"],
    Annotated[Retriever, "encoder"],
    Annotated[RetrievalReport, "report"],
]:
    manifest, retriever = made_dataset(Path(folder)), encoder()
    frame = manifest.subset("test")
    vectors = np.random.default_rng(0).normal(size=(len(frame), 6)).astype(np.float32)
    report = evaluate_embeddings(
        vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
        frame,
        RetrievalConfig(),
        name="saga",
        encoder_digest=retriever.digest,
        dataset_digest=manifest.digest,
    )
    return manifest, retriever, report


@pipeline(enable_cache=False)
def judging(folder: str, compared: bool, policy: dict[str, Any]) -> None:
    manifest, retriever, report = judged(folder)
    measure_drift(manifest, retriever, report, report if compared else None, policy)


@pytest.mark.parametrize("compared", [True, False])
def test_the_gates_get_a_report(tmp_path: Path, compared: bool):
    run = judging(str(tmp_path), compared, DriftPolicy("p").to_dict())
    drift = load(run, "drift")
    assert drift.rows["candidate"] == 6 and ("production" in drift.rows) is compared
    assert drift.digests["policy"] == DriftPolicy("p").digest
