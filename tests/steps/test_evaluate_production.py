"""The step inside a pipeline, with nothing in production, with something, and with what was altered."""

from pathlib import Path
from typing import Annotated

import pytest
from zenml import pipeline, step
from zenml.client import Client
from zenml.enums import ExecutionMode

from materializers.manifest import ManifestMaterializer
from pipelines.execution import artifact, load
from saga.data.configuration import ImageLimits
from saga.data.manifest import DatasetManifest
from saga.errors import UserInputError
from saga.retrieval.configuration import RetrievalConfig
from steps.evaluate_production import evaluate_production
from tests.pipelines.promotion.conftest import model  # noqa: F401 - a fixture
from tests.pipelines.promotion.made import register
from tests.steps.made import made_dataset


@step(enable_cache=False, output_materializers={"manifest": ManifestMaterializer})
def dataset(folder: str) -> Annotated[DatasetManifest, "manifest"]:
    return made_dataset(Path(folder))


@pipeline(execution_mode=ExecutionMode.FAIL_FAST)
def judging(folder: str, name: str) -> None:
    evaluate_production(dataset(folder), name, RetrievalConfig(), ImageLimits())


@pytest.mark.parametrize("registered", [False, True])
def test_where_nothing_is_in_production_nothing_is_judged(model, tmp_path, registered):  # noqa: F811
    if registered:
        register(model, 1)
    run = judging(str(tmp_path), model)
    assert load(run, "report_production") is load(run, "measurements_production") is None
    assert "Nothing was in production" in load(run, "page_production")
    assert bool(Client().list_models(name=f"equals:{model}").items) is registered


def test_a_second_run_judges_what_took_its_place(model, tmp_path):  # noqa: F811
    made = [register(model, seed) for seed in (1, 2)]
    for version in made:
        Client().get_model_version(model, version.number).set_stage("production", force=True)
        run = judging(str(tmp_path), model)
        report, measured = load(run, "report_production"), load(run, "measurements_production")
        assert report.encoder_digest == measured.encoder_digest == version.encoder_digest
        assert report.dataset_digest == load(run, "manifest").digest
        facts = artifact(run, "report_production").run_metadata
        assert facts["production_version"] == version.number
        taken = [
            one.id for many in run.steps["evaluate_production"].inputs.values() for one in many
        ]
        live = Client().get_model_version(model, version.number).get_artifact("encoder_saga")
        assert live.id in taken, "its lineage shows who used it"


def test_an_encoder_that_was_altered_is_not_judged(model, tmp_path):  # noqa: F811
    made, other = register(model, 1), register(model, 2)
    Client().get_model_version(model, 1).set_stage("production")
    for mine, theirs in zip(made.files("encoder_saga"), other.files("encoder_saga"), strict=True):
        mine.write_bytes(theirs.read_bytes())
    with pytest.raises(UserInputError, match="is not the one that was registered"):
        judging(str(tmp_path), model)
