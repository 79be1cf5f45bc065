"""Runs with the steps, artifacts and links of `saga run`, without its training."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import torch
from zenml import ArtifactConfig, Model, pipeline, step
from zenml.client import Client

from materializers.decision import DecisionMaterializer
from materializers.history import HistoryMaterializer
from materializers.manifest import ManifestMaterializer
from materializers.pairs import PairSetMaterializer
from materializers.report import ReportMaterializer
from materializers.retriever import RetrieverMaterializer
from materializers.validation import ValidationMaterializer
from pipelines.configuration import RunConfig, load_run_config
from pipelines.environment import git_state
from pipelines.lineage.recording import record_run_facts, record_step_facts
from saga.data.manifest import DatasetManifest
from saga.data.validation import ExpectationOutcome, ValidationReport
from saga.encoders.configuration import PoolerConfig
from saga.encoders.poolers import build_pooler
from saga.encoders.preprocess import ImagePreprocessor
from saga.encoders.retriever import Retriever
from saga.encoders.towers import build_tower
from saga.files import digest_of, write_json
from saga.gates.decision import GateDecision
from saga.gates.gates import decide
from saga.gates.policy import GatePolicy
from saga.mining.configuration import MiningConfig
from saga.mining.miner import mine_pairs as mine
from saga.mining.pairs import PairSet
from saga.retrieval.report import RetrievalReport
from saga.supervisors.source import supervisor_digest
from saga.training.arm import ArmConfig
from saga.training.history import TrainingHistory
from tests.e2e.command import TINY
from tests.materializers.test_materializers import POLICY, VISION, made, made_manifest
from tests.retrieval.made import made_report

COMMAND = "saga run made.yaml"


@step(enable_cache=False, output_materializers={"manifest": ManifestMaterializer})
def load_dataset(root: str) -> Annotated[DatasetManifest, "manifest"]:
    return made_manifest(Path(root))


@step(output_materializers={"validation": ValidationMaterializer})
def validate_dataset(manifest: DatasetManifest) -> Annotated[ValidationReport, "validation"]:
    outcome = ExpectationOutcome("images", "There are images", "critical", True, "8", "Add some")
    return ValidationReport(
        manifest.name,
        manifest.layout,
        manifest.digest,
        manifest.counts(),
        "l" * 64,
        {},
        ("images",),
        (outcome,),
    )


@step(output_materializers={"pairs": PairSetMaterializer})
def mine_pairs(
    manifest: DatasetManifest, validation: ValidationReport, mining: MiningConfig
) -> Annotated[PairSet, "pairs"]:
    return mine(manifest.training(), replace(mining, strategy="random"), manifest.digest)


@step(
    output_materializers={
        "encoder_{arm}": RetrieverMaterializer,
        "history_{arm}": HistoryMaterializer,
    }
)
def train_encoder(
    manifest: DatasetManifest, pairs: PairSet, arm: ArmConfig, bound: dict[str, str]
) -> tuple[
    Annotated[Retriever, ArtifactConfig(name="encoder_{arm}")],
    Annotated[TrainingHistory, ArtifactConfig(name="history_{arm}")],
]:
    record_step_facts()
    torch.manual_seed(arm.training.seed + len(arm.name))
    tower = build_tower("qwen3_vl", VISION)
    provenance = {
        "arm": arm.name,
        "config": digest_of(asdict(arm)),
        "manifest": manifest.digest,
        "pairs": pairs.digest,
        "supervisor": bound["supervisor_files"],
        "git_commit": str(git_state()["git_commit"]),
    }
    pooler = build_pooler(PoolerConfig(), tower.width)
    preprocessor = ImagePreprocessor(32, (0.5,) * 3, (0.5,) * 3)
    encoder = Retriever(tower, pooler, preprocessor, provenance | bound)
    return encoder, made("history", Path())


@step(enable_cache=False, output_materializers={"report_{arm}": ReportMaterializer})
def evaluate_retrieval(
    manifest: DatasetManifest, encoder: Retriever, name: str, nmi_seed: int
) -> Annotated[RetrievalReport, ArtifactConfig(name="report_{arm}")]:
    report = made_report([4, 5, 6], 0.4, seed=nmi_seed, name=name)
    return replace(report, encoder_digest=encoder.digest, dataset_digest=manifest.digest)


@step(enable_cache=False, output_materializers={"decision": DecisionMaterializer})
def gate_candidate(
    candidate: RetrievalReport, baseline: RetrievalReport, policy: dict[str, Any]
) -> Annotated[GateDecision, "decision"]:
    return decide(GatePolicy.from_dict(policy), candidate, {"baseline": baseline})


@pipeline(enable_cache=True)
def made_run(
    run: RunConfig,
    policy: dict[str, Any],
    bound: dict[str, str],
    root: str,
    production: str | None = None,
) -> None:
    manifest = load_dataset(root)
    pairs = mine_pairs(manifest, validate_dataset(manifest), run.mining)
    encoders: dict[str, Any] = {}
    for arm in (run.baseline_arm, run.candidate_arm):
        train = train_encoder.with_options(substitutions={"arm": arm.name})
        encoders[arm.name], _ = train(manifest, pairs, arm, bound, id=f"train_{arm.name}")
    if production is not None:
        encoders["production"] = Client().get_artifact_version(UUID(production))
    reports = {}
    for name, encoder in encoders.items():
        evaluate = evaluate_retrieval.with_options(substitutions={"arm": name})
        seed = run.evaluation.nmi_seed
        reports[name] = evaluate(manifest, encoder, name, seed, id=f"evaluate_{name}")
    gate_candidate(reports["saga"], reports["dml"], policy)


@dataclass(frozen=True)
class Made:
    """A run and the version that it registered."""

    model: str
    number: int
    run_id: str
    folder: Path
    """Where the command ran."""

    @property
    def name(self) -> str:
        return f"{self.model}:{self.number}"

    def artifact(self, name: str) -> Any:
        run = Client().get_pipeline_run(self.run_id)
        outputs = (v for s in run.steps.values() for vs in s.outputs.values() for v in vs)
        return next(version for version in outputs if version.name == name)

    def file(self, name: str, below: str) -> Path:
        return Path(self.artifact(name).uri) / below


def run(
    model: str,
    folder: Path,
    number: int,
    *settings: str,
    production: Any = None,
    record: bool = True,
) -> Made:
    """Run, write what a run writes, and record it.

    Args:
        settings: changes of the configuration.
        production: an encoder that is judged beside the candidate.
        record: whether the run records its facts.
    """
    config = load_run_config(TINY, ["ablations=[]", f"model={model}", *settings])
    bound = {
        "code": "c" * 64,
        "supervisor_files": supervisor_digest(config.supervisor),
        "prompt": "e" * 64,
    }
    images = folder / "images"
    images.mkdir(exist_ok=True)
    run_id = f"{model}-run-{number}"
    policy = GatePolicy.from_dict(POLICY).to_dict()
    made_run.with_options(run_name=run_id, model=Model(name=model))(
        config, policy, bound, str(images), str(production.id) if production else None
    )
    made_of = Made(model, number, run_id, folder)
    digest = made_of.artifact("encoder_saga").run_metadata["digest"]
    written = folder / "runs" / run_id
    artifacts = {"encoder_saga": {"digest": digest}}
    write_json(written / "summary.json", {"run_id": run_id, "artifacts": artifacts})
    if record:
        record_run_facts(run_id, COMMAND, written)
    return made_of
