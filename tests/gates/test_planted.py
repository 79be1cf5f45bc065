"""The policy that comes along blocks every planted regression of an encoder that was really trained."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from saga.data.configuration import DatasetConfig
from saga.data.load import load_manifest
from saga.data.synthetic.configuration import SyntheticConfig
from saga.encoders.configuration import EncoderConfig, PoolerConfig
from saga.gates.base import Effect
from saga.gates.calibration import decide_pair
from saga.gates.policy import GatePolicy
from saga.gates.regressions import BROKEN, BrokenEncoder, forget_class
from saga.losses.configuration import MetricLossConfig
from saga.retrieval.configuration import RetrievalConfig
from saga.retrieval.extract import extract_embeddings, load_images
from saga.retrieval.measurements import measure_encoder
from saga.retrieval.metrics import evaluate_embeddings
from saga.training.trainer import train
from tests.training.made import EMBEDDED, made_arm, made_pairs

POLICY = GatePolicy.load(Path(__file__).parents[2] / "configs" / "gates" / "default.yaml")
BIRDS = SyntheticConfig(
    train_classes=16, validation_classes=0, test_classes=40, images_per_class=12
)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory):
    config = DatasetConfig(layout="synthetic", name="planted", synthetic=BIRDS)
    return load_manifest(config, tmp_path_factory.mktemp("data"), lambda done, total: None)


@pytest.fixture(scope="module")
def encoder(manifest):
    """Trained by labels alone for a few steps."""
    arm = made_arm(
        EMBEDDED,
        (1.0, 0.0, 0.0),
        EncoderConfig(PoolerConfig("attribute", embedding_dim=576, normalize_keys=True)),
        {"pooler_lr": 1e-2},
        steps=40,
        classes_per_batch=8,
        images_per_class=4,
        metric_loss=MetricLossConfig("multi_similarity"),
    )
    trained, _ = train(arm, manifest, made_pairs(manifest))
    return trained


@pytest.fixture(scope="module")
def judge(manifest, encoder):
    """Report and measurements of some vectors of the test images."""
    test = manifest.subset("test")
    measured = measure_encoder(
        encoder, load_images(manifest, test.head(8), None), name="whole", repeats=5, batches=1
    )

    def judged(vectors: np.ndarray, digest: str):
        report = evaluate_embeddings(
            vectors,
            test,
            RetrievalConfig(),
            name=digest,
            encoder_digest=digest,
            dataset_digest=manifest.digest,
        )
        return report, replace(measured, encoder_digest=digest)

    return judged


@pytest.fixture(scope="module")
def whole(manifest, encoder, judge):
    vectors = extract_embeddings(encoder, manifest, manifest.subset("test"))
    judged = judge(vectors, encoder.digest)
    assert judged[0].metrics["recall_at_1"] > 0.2, "a useless encoder cannot be broken"
    return vectors, judged


def blocking(decision) -> set[str]:
    return {gate.id for gate in decision.gates if gate.effect is Effect.BLOCKS}


def test_the_same_encoder_again_passes(whole):
    _, judged = whole
    decision = decide_pair(POLICY, judged, judged)
    assert decision.passed, decision.reason


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_broken_encoder_is_blocked(name, manifest, encoder, judge, whole):
    broken = BrokenEncoder(encoder, name)
    vectors = extract_embeddings(broken, manifest, manifest.subset("test"))
    decision = decide_pair(POLICY, judge(vectors, broken.digest), whole[1])
    assert not decision.passed and "not_worse_than_production" in blocking(decision)


def test_a_class_that_was_found_and_is_forgotten_is_blocked(manifest, judge, whole):
    vectors, judged = whole
    best = judged[0].per_class.sort_values("recall_at_1").iloc[-1]
    assert best["recall_at_1"] > 0.6
    classes = manifest.subset("test")["class_id"].to_numpy()
    changed = forget_class(vectors, classes, int(best["class_id"]), seed=1)
    decision = decide_pair(POLICY, judge(changed, "forgotten"), judged)
    assert "no_class_forgotten" in blocking(decision)
