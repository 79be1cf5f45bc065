from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from saga.encoders.retriever import Retriever
from saga.errors import UserInputError
from saga.monitoring.policy import DriftPolicy
from saga.monitoring.verdict import State, judge
from saga.retrieval.configuration import RetrievalConfig
from saga.retrieval.metrics import evaluate_embeddings
from steps.drift.candidate import candidate_drift
from steps.drift.comparing import between_classes
from steps.drift.evidently_methods import PSI, WASSERSTEIN, column_drift, domain_auc
from steps.drift.live import live_drift
from tests.monitoring.made import made_images
from tests.steps.made import made_dataset

POLICY = DriftPolicy("test")
GALLERY = made_images("gallery", seed=1)
TRAINING = made_images("training", seed=2, first_class=12)


def test_the_classifier_tells_what_is_apart_and_not_what_is_one():
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(2, 600, 5))
    before = one.copy()
    assert abs(domain_auc(one, two) - 0.5) < 0.1
    assert domain_auc(one + 1.0, two) > 0.9
    assert np.array_equal(one, before)


def test_column_drift_is_what_its_name_says():
    rng = np.random.default_rng(0)
    one = pd.DataFrame({"a": rng.normal(size=500), "b": rng.normal(size=500)})
    two = pd.DataFrame({"a": rng.normal(size=500), "b": rng.normal(size=500) - 2})
    moved = column_drift(one, two, ("a", "b"), WASSERSTEIN)
    assert moved["a"] < 0.2 and moved["b"] == pytest.approx(2, abs=0.2)
    psi = column_drift(one, two, ("a", "b"), PSI)
    edges = np.histogram_bin_edges(np.concatenate([one["b"], two["b"]]), "sturges")
    shares = [np.histogram(v["b"], edges)[0] / 500 for v in (one, two)]
    p, q = (np.where(share == 0, 1e-4, share) for share in shares)
    assert psi["b"] == pytest.approx(float(((p - q) * np.log(p / q)).sum()), rel=1e-6)
    assert psi["a"] < 0.1


@pytest.mark.parametrize("seed", range(3, 6))
def test_queries_of_the_same_kind_raise_nothing(seed):
    report = live_drift(made_images("queries", seed=seed), GALLERY, TRAINING, POLICY)
    assert report.warnings == () and report.not_judged == ()
    assert judge(report, POLICY).state is State.STEADY
    assert {
        "domain_auc_gallery",
        "domain_auc_training",
        "margin_psi_gallery",
    } <= report.figures.keys()
    assert report.rows == {"queries": 240, "gallery": 240, "training": 240}
    assert report.facts["labelled_queries"] == 240
    assert report.figures["recall_at_1_queries"] > 0.8


def test_a_shift_of_the_embeddings_asks_for_a_retraining():
    report = live_drift(made_images("queries", seed=3, shift=2.5), GALLERY, TRAINING, POLICY)
    assert {"domain_auc_gallery", "top1_psi_gallery"} <= set(report.exceeded)
    assert judge(report, POLICY).state is State.RETRAIN
    assert len(report.warnings) == len(report.exceeded)


def test_darker_images_that_the_encoder_does_not_feel_are_watched():
    queries = made_images("queries", seed=3, moved={"brightness": -1.0})
    report = live_drift(queries, GALLERY, TRAINING, POLICY)
    assert report.exceeded == ["brightness_gallery", "brightness_training"]
    assert judge(report, POLICY).state is State.WATCH


def test_other_classes_than_the_gallerys_shift_the_similarities():
    queries = made_images("queries", seed=3, first_class=40)
    report = live_drift(queries, GALLERY, TRAINING, POLICY)
    assert "top1_psi_gallery" in report.exceeded
    assert "recall_loss_gallery" not in report.figures
    assert any("Recall@1 needs labelled queries" in s for s in report.not_judged)


def test_lost_recall_is_told_with_its_interval():
    queries = made_images("queries", seed=3)
    swapped = queries.frame.assign(class_name=np.roll(queries.frame["class_name"], 40))
    report = live_drift(replace(queries, frame=swapped), GALLERY, TRAINING, POLICY)
    assert report.exceeded == ["recall_loss_gallery"]
    assert report.figures["recall_at_1_queries"] == 0.0
    assert judge(report, POLICY).state is State.RETRAIN


def test_too_few_queries_are_not_judged_and_do_not_alarm():
    queries = made_images("queries", each=2, seed=3, shift=9.0)
    queries = replace(queries, frame=queries.frame.assign(class_name=None))
    report = live_drift(queries, GALLERY, TRAINING, POLICY)
    assert report.figures == {} and report.warnings == ()
    verdict = judge(report, POLICY)
    assert (verdict.state, verdict.refused) == (State.INCONCLUSIVE, False)
    assert "not judged with 24 and 240 images; the policy asks for 200" in verdict.reason


def test_vectors_of_two_encoders_are_not_compared():
    other = replace(made_images("queries"), encoder_digest="another")
    with pytest.raises(UserInputError, match="different encoders"):
        live_drift(other, GALLERY, TRAINING, POLICY)


def test_samples_beyond_the_most_rows_are_thinned_and_the_seed_decides():
    thin = replace(POLICY, most_rows=200, fewest_rows=200)
    reports = [
        live_drift(made_images("queries", seed=3), GALLERY, TRAINING, replace(thin, seed=s))
        for s in (0, 0, 1)
    ]
    aucs = [r.figures["domain_auc_gallery"] for r in reports]
    assert aucs[0] == aucs[1] != aucs[2]


def test_other_classes_alone_tell_halves_apart_and_that_is_expected():
    expected = between_classes(TRAINING, POLICY)
    assert expected is not None and expected[0] > 0.55
    assert max(expected[1].values()) < 0.4
    assert between_classes(made_images("training", classes=3), POLICY) is None


def test_where_training_images_are_told_apart_anyway_the_classifier_is_not_asked():
    far = made_images("training", seed=2, first_class=12, shift=9.0)
    report = live_drift(made_images("queries", seed=3, shift=2.5), GALLERY, far, POLICY)
    assert report.expected["domain_auc_training"] > 0.95
    assert "domain_auc_training" not in report.thresholds
    assert any("so the classifier cannot tell" in said for said in report.not_judged)
    assert "domain_auc_gallery" in report.exceeded


class Looks(Retriever):
    """Embeds by mean colour; needs no weights."""

    def __init__(self) -> None:
        pass

    digest = "looks"

    def encode(self, images, batch_size=64, progress=None):
        means = np.stack([np.asarray(image, float).mean((0, 1)) - 128 for image in images])
        means = np.c_[means, np.full(len(means), 10.0)]
        return (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)


def reported(manifest, encoder: str, noise: float):
    frame = manifest.subset("test")
    vectors = np.random.default_rng(0).normal(size=(len(frame), 6)) + 3
    vectors[:, 0] += noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return evaluate_embeddings(
        vectors.astype(np.float32),
        frame,
        RetrievalConfig(),
        name=encoder,
        encoder_digest=encoder,
        dataset_digest=manifest.digest,
    )


def test_a_candidate_is_held_against_training_images_and_production(tmp_path):
    manifest = made_dataset(tmp_path)
    candidate, production = (reported(manifest, *of) for of in (("looks", 0), ("live", 50)))
    report = candidate_drift(manifest, Looks(), candidate, production, POLICY)
    assert report.rows == {"test": 6, "training": 6, "candidate": 6, "production": 6}
    assert report.warnings == () and len(report.not_judged) == 3
    assert report.digests["production_report"] == production.digest
    low = replace(POLICY, fewest_rows=20)
    object.__setattr__(low, "fewest_rows", 6)  # fewer than a policy may say
    judged = candidate_drift(manifest, Looks(), candidate, production, low)
    (unsaid,) = judged.not_judged
    assert "so the classifier cannot tell" in unsaid
    assert {
        "domain_auc_training",
        "sharpness_training",
        "top1_psi_production",
    } <= judged.figures.keys()
    alone = candidate_drift(manifest, Looks(), candidate, None, low)
    assert "top1_psi_production" not in alone.figures and "production" not in alone.rows


def test_reports_of_other_encoders_or_data_are_refused(tmp_path):
    manifest = made_dataset(tmp_path)
    candidate = reported(manifest, "looks", 0)
    with pytest.raises(ValueError, match="another encoder"):
        candidate_drift(manifest, Looks(), reported(manifest, "else", 0), None, POLICY)
    with pytest.raises(ValueError, match="on other data"):
        candidate_drift(
            manifest, Looks(), candidate, replace(candidate, dataset_digest="x"), POLICY
        )


def test_a_file_that_changed_since_the_manifest_is_named(tmp_path):
    manifest = made_dataset(tmp_path)
    (tmp_path / "2" / "6.png").write_bytes((tmp_path / "2" / "7.png").read_bytes())
    with pytest.raises(UserInputError, match=r"2/6\.png has changed since the manifest"):
        candidate_drift(manifest, Looks(), reported(manifest, "looks", 0), None, POLICY)
