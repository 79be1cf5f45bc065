"""Model versions as a run registers them, without any training."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from zenml import save_artifact
from zenml.client import Client
from zenml.model.utils import link_artifact_version_to_model_version

from materializers.decision import DecisionMaterializer
from materializers.manifest import ManifestMaterializer
from materializers.retriever import RetrieverMaterializer
from saga.data.manifest import DatasetManifest, build_manifest
from saga.encoders.configuration import PoolerConfig
from saga.encoders.poolers import build_pooler
from saga.encoders.preprocess import ImagePreprocessor
from saga.encoders.retriever import Retriever
from saga.encoders.towers import build_tower
from saga.files import sha256_bytes
from saga.gates.base import Effect, GateResult, Status
from saga.gates.decision import GateDecision, Reference
from saga.gates.policy import GatePolicy
from tests.checkpoints import VISION

POLICY = Path(__file__).parents[3] / "configs" / "gates" / "default.yaml"
PASSED = GateResult("floor", "floor", Status.PASS, "Recall@1 is 60.0 %.")
FAILED = replace(
    PASSED,
    status=Status.FAIL,
    effect=Effect.BLOCKS,
    reason="Recall@1 is 5.0 %, below the floor.",
)
MATERIALIZERS = {
    "encoder_saga": RetrieverMaterializer,
    "manifest": ManifestMaterializer,
    "decision": DecisionMaterializer,
}


def encoder(seed: int, width: int = 6) -> Retriever:
    torch.manual_seed(seed)
    tower = build_tower("qwen3_vl", VISION)
    pooler = build_pooler(PoolerConfig("attention", width, seed=seed), tower.width)
    return Retriever(tower, pooler, ImagePreprocessor(32, (0.5,) * 3, (0.5,) * 3), {"seed": seed})


def manifest(name: str = "made") -> DatasetManifest:
    rows = [
        {
            "image_id": str(i),
            "path": f"{i}.png",
            "sha256": sha256_bytes(f"{name} {i}".encode()),
            "class_id": i // 2,
            "class_name": f"class {i // 2}",
            "split": "train" if i < 4 else "test",
            "width": 32,
            "height": 24,
            "mode": "RGB",
        }
        for i in range(8)
    ]
    return build_manifest(rows, name=name, layout="folders", root=Path("absent"))


@dataclass(frozen=True)
class Version:
    model: str
    number: int
    encoder_digest: str
    decision_digest: str
    uris: dict[str, str]

    def files(self, name: str) -> list[Path]:
        return sorted(p for p in Path(self.uris[name]).rglob("*") if p.is_file())


def register(
    model: str,
    seed: int,
    production: str | None = None,
    *,
    width: int = 6,
    gate: GateResult = PASSED,
    policy: Path = POLICY,
    without: Sequence[str] = (),
    **changes: Any,
) -> Version:
    """A new version of a model, with encoder, manifest and a decision about them.

    Args:
        model: made where it is not there.
        seed: of the encoder's weights.
        production: digest of the encoder that the candidate was compared with.
        width: of its vectors.
        gate: the outcome of the only gate.
        policy: under which it was judged.
        without: artifacts to leave out.
        changes: of the decision.
    """
    retriever, data = encoder(seed, width), manifest()
    references = {"baseline": Reference("b" * 64, "b" * 64)}
    if production is not None:
        references["production"] = Reference(production, "c" * 64)
    decision = GateDecision(
        policy="default",
        gates=(gate,),
        encoder_digest=retriever.digest,
        dataset_digest=data.digest,
        policy_digest=GatePolicy.load(policy).digest,
        report_digest="d" * 64,
        references=references,
    )
    decision = replace(decision, **changes)
    client = Client()
    if not client.list_models(name=f"equals:{model}").items:
        client.create_model(model)
    version = client.create_model_version(model)
    uris = {}
    for name, value in {"encoder_saga": retriever, "manifest": data, "decision": decision}.items():
        if name not in without:
            saved = save_artifact(
                value, name, materializer=MATERIALIZERS[name], include_visualizations=False
            )
            link_artifact_version_to_model_version(saved, version)
            uris[name] = saved.uri
    return Version(model, version.number, retriever.digest, decision.digest, uris)


def again(made: Version, times: int) -> list[int]:
    """New versions with the same artifacts."""
    client, numbers = Client(), []
    source = client.get_model_version(made.model, made.number)
    artifacts = [source.get_artifact(name) for name in made.uris]
    for _ in range(times):
        version = client.create_model_version(made.model)
        for artifact in artifacts:
            link_artifact_version_to_model_version(artifact, version)
        numbers.append(version.number)
    return numbers


def stages(model: str) -> dict[int, str | None]:
    """What the database says of every version."""
    found = Client().list_model_versions(model=Client().get_model(model).id, size=100)
    return {version.number: version.stage for version in found.items}


def in_production(model: str) -> list[int]:
    return [number for number, stage in stages(model).items() if stage == "production"]
