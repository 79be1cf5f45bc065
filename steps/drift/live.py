"""Drift of live queries against the gallery that they search and the images that trained the encoder."""

import numpy as np
import pandas as pd

from saga.errors import UserInputError
from saga.monitoring.assessment import Assessment
from saga.monitoring.measured import MeasuredImages
from saga.monitoring.policy import DriftPolicy
from saga.monitoring.quality import quality_of
from saga.monitoring.report import DriftReport, image_rows
from saga.monitoring.similarities import nearest
from steps.drift.comparing import (
    add_embeddings,
    add_similarities,
    add_statistics,
    auc,
    statistics_drift,
)


def live_drift(
    queries: MeasuredImages,
    gallery: MeasuredImages,
    training: MeasuredImages,
    policy: DriftPolicy,
) -> DriftReport:
    """Measure queries against both references.

    Against the gallery, nothing changed means: as two samples of the same images. Against the
    training images the gallery is the yardstick, as its classes are others: the encoder was accepted
    at that distance.

    Args:
        queries: live images; class_name where there is a label.
        gallery: what they are searched in.
        training: what the encoder was trained on.
        policy: limits.

    Raises:
        UserInputError: if the three were not measured by one encoder, or the gallery is too small.
    """
    encoders = {images.encoder_digest for images in (queries, gallery, training)}
    if len(encoders) > 1:
        raise UserInputError(
            "Queries, gallery and training images were embedded by different encoders (digests "
            f"{', '.join(sorted(d[:12] for d in encoders))}); measure them again."
        )
    assessment = Assessment(policy)
    near, found = nearest(queries.vectors, gallery.vectors)
    own, found_in_gallery = nearest(gallery.vectors, gallery.vectors, exclude_self=True)
    add_embeddings(assessment, "gallery", queries, gallery)
    add_similarities(assessment, "gallery", near, own, "queries against gallery")
    add_statistics(assessment, "gallery", queries, gallery)
    if _enough(policy, queries, gallery, training):
        add_embeddings(
            assessment, "training", queries, training, max(auc(gallery, training, policy), 0.5)
        )
        expected = statistics_drift(gallery, training)
        add_statistics(assessment, "training", queries, training, expected)
    facts = _add_quality(assessment, queries, gallery, found, found_in_gallery)
    return DriftReport(
        name=queries.name,
        figures=assessment.figures,
        expected=assessment.expected,
        thresholds=assessment.thresholds,
        warnings=assessment.warnings,
        not_judged=tuple(assessment.not_judged),
        digests={
            "encoder": gallery.encoder_digest,
            "queries": queries.data_digest,
            "gallery": gallery.data_digest,
            "training": training.data_digest,
            "policy": policy.digest,
        },
        images=pd.concat(
            [
                image_rows("queries", queries.frame["image"], near, queries.frame),
                image_rows("gallery", gallery.frame["image"], own, gallery.frame),
                image_rows("training", training.frame["image"], training.frame),
            ],
            ignore_index=True,
        ),
        facts={"policy": policy.name} | facts,
    )


def _enough(policy: DriftPolicy, *samples: MeasuredImages) -> bool:
    """Said once, by the comparison with the gallery, where the queries are too few."""
    return min(map(len, samples)) >= policy.fewest_rows


def _add_quality(
    assessment: Assessment,
    queries: MeasuredImages,
    gallery: MeasuredImages,
    found: np.ndarray,
    found_in_gallery: np.ndarray,
) -> dict[str, int]:
    """Recall@1 where labels exist; returns what there was."""
    classes = queries.frame["class_name"]
    labelled = int(classes.notna().sum())
    facts = {"labelled_queries": labelled}
    if not labelled:
        return facts
    quality = quality_of(classes, gallery.frame["class_name"], found, found_in_gallery)
    if quality is None:
        assessment.not_judged.append(
            f"queries: Recall@1 needs labelled queries of two classes of the gallery; {labelled} "
            "are labelled."
        )
        return facts
    assessment.figures |= {
        "recall_at_1_queries": quality.recall_at_1,
        "recall_at_1_queries_low": quality.low,
        "recall_at_1_queries_high": quality.high,
        "recall_at_1_gallery": quality.gallery,
    }
    facts |= {
        "labelled_classes": quality.classes,
        "labelled_queries_of_unknown_classes": quality.unknown,
    }
    fewest = assessment.policy.fewest_labels
    if quality.queries < fewest:
        assessment.not_judged.append(
            f"queries: Recall@1 is not judged with {quality.queries} labelled queries; the policy "
            f"asks for {fewest}."
        )
        return facts
    assessment.add("recall_loss_gallery", quality.loss, 0.0, "queries against gallery")
    return facts
