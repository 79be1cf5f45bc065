"""What a promotion would change: the candidate's space, and the similarities a service sees."""

from collections.abc import Callable

import pandas as pd

from saga.data.manifest import DatasetManifest
from saga.encoders.retriever import Retriever
from saga.monitoring.assessment import Assessment
from saga.monitoring.measured import MeasuredImages, files_of, measure_images
from saga.monitoring.policy import DriftPolicy
from saga.monitoring.report import DriftReport, image_rows
from saga.monitoring.similarities import similarities_of
from saga.retrieval.report import RetrievalReport
from steps.drift.comparing import (
    add_embeddings,
    add_similarities,
    add_statistics,
    between_classes,
)

Progress = Callable[[int, int], None]


def candidate_drift(
    manifest: DatasetManifest,
    encoder: Retriever,
    candidate: RetrievalReport,
    production: RetrievalReport | None,
    policy: DriftPolicy,
    progress: Progress | None = None,
) -> DriftReport:
    """Drift for the gates.

    - `_training`: test images against training images, in the candidate's space. Their classes
      differ by design; what that alone makes is measured between random halves of the training
      classes, and expected.
    - `_production`: the similarities of the same queries, the candidate's against production's. A
      service that compares similarities with a threshold has to set it anew where these shift.

    Args:
        manifest: the data that both reports judged.
        encoder: the candidate.
        candidate: its report.
        production: of the version in use; None where there is none.
        policy: limits.
        progress: called with (images done, images), for test and then for training images.

    Raises:
        ValueError: if the reports, the encoder and the data do not belong together.
    """
    _check(manifest, encoder, candidate, production)
    test, training = (
        measure_images(
            f"{split} images", encoder, files_of(manifest, split), policy.images, progress
        )
        for split in ("test", "train")
    )
    assessment = Assessment(policy)
    own = similarities_of(candidate)
    rows = [
        image_rows("test", test.frame["image"], test.frame),
        image_rows("training", training.frame["image"], training.frame),
        image_rows("candidate", candidate.per_query["image_id"], own),
    ]
    digests = {
        "encoder": encoder.digest,
        "dataset": manifest.digest,
        "report": candidate.digest,
        "policy": policy.digest,
    }
    against_training(assessment, test, training)
    if production is not None:
        theirs = similarities_of(production)
        rows.append(image_rows("production", production.per_query["image_id"], theirs))
        add_similarities(assessment, "production", own, theirs, "candidate against production")
        digests |= {
            "production_encoder": production.encoder_digest,
            "production_report": production.digest,
        }
    return DriftReport(
        name="candidate",
        figures=assessment.figures,
        expected=assessment.expected,
        thresholds=assessment.thresholds,
        warnings=assessment.warnings,
        not_judged=tuple(assessment.not_judged),
        digests=digests,
        images=pd.concat(rows, ignore_index=True),
        facts={"policy": policy.name, "dataset": manifest.name},
    )


def against_training(
    assessment: Assessment, test: MeasuredImages, training: MeasuredImages
) -> None:
    """Add the comparison of test with training images.

    Args:
        assessment: collects.
        test: images of unseen classes.
        training: with class names, whose halves say what other classes alone make.
    """
    policy = assessment.policy
    if min(len(test), len(training)) >= policy.fewest_rows:
        expected = between_classes(training, policy)
    else:
        expected = None  # nothing is judged
    auc, distances = expected or (0.5, None)
    add_embeddings(assessment, "training", test, training, max(auc, 0.5))
    add_statistics(assessment, "training", test, training, distances)


def _check(
    manifest: DatasetManifest,
    encoder: Retriever,
    candidate: RetrievalReport,
    production: RetrievalReport | None,
) -> None:
    if candidate.encoder_digest != encoder.digest:
        raise ValueError(f"the report of {candidate.name} is of another encoder")
    for report in (candidate, production):
        if report is not None and report.dataset_digest != manifest.digest:
            raise ValueError(f"the report of {report.name} is on other data than {manifest.name}")
