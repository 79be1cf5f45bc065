"""The figures gates rest on, each against its own definition."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from saga.gates.base import Evidence, MissingMetricError
from saga.gates.metrics import (
    FLIPS,
    KNOWN,
    MEASURED,
    RATES,
    WORST_CLASS,
    check_metric,
    figure,
    has_outcomes,
    interval,
    rate_of,
    said,
    spoken,
)
from saga.retrieval.report import RetrievalReport
from tests.gates.made import (
    Drift,
    Measured,
    naive_interval,
    report_of,
    with_column,
    with_metric,
    without,
)

OURS = report_of([[1, 0, 0, 1], [1, 1], [0, 1, 0]])
THEIRS = report_of([[1, 1, 0, 0], [1, 1], [1, 1, 1]], "dml")
BOTH = Evidence(OURS, {"production": THEIRS})


def test_rates_are_those_of_the_report_of_the_role() -> None:
    assert figure(BOTH, "recall_at_1") == pytest.approx(5 / 9)
    assert figure(BOTH, "map_at_r", "production") == pytest.approx(7 / 9)
    assert figure(BOTH, "recall_at_4") == 1


def test_the_worst_class_is_the_lowest_of_the_class_means() -> None:
    assert figure(BOTH, WORST_CLASS) == pytest.approx(1 / 3)
    assert figure(BOTH, WORST_CLASS, "production") == 0.5


def test_flips_are_the_queries_that_only_the_reference_finds() -> None:
    lost = [[0, 1, 0, 0], [0, 0], [1, 0, 1]]
    assert figure(BOTH, FLIPS, reference="production") == pytest.approx(3 / 9)
    found = interval(BOTH, FLIPS, 0.9, "production")
    assert (found.mean, found.low, found.high) == pytest.approx(naive_interval(lost, 0.9))


def test_flips_are_paired_by_image_in_whatever_order() -> None:
    shuffled = replace(THEIRS, per_query=THEIRS.per_query.sample(frac=1, random_state=1))
    evidence = Evidence(OURS, {"production": shuffled})
    assert figure(evidence, FLIPS, reference="production") == pytest.approx(3 / 9)


def test_intervals_are_clustered_by_class() -> None:
    found = interval(BOTH, "recall_at_1", 0.95)
    hits = [[1, 0, 0, 1], [1, 1], [0, 1, 0]]
    assert (found.mean, found.low, found.high) == pytest.approx(naive_interval(hits, 0.95))


def test_measured_figures_are_those_of_the_role() -> None:
    measured = {
        "candidate": Measured({"encode_ms_p95": 3.0}),
        "production": Measured({}, encoder_digest=THEIRS.encoder_digest),
    }
    evidence = Evidence(OURS, {"production": THEIRS}, measured)
    assert figure(evidence, "encode_ms_p95") == 3
    for metric, role in (("encode_ms_p95", "production"), ("embedding_width", "candidate")):
        with pytest.raises(MissingMetricError, match=f"{metric} of the {role} was not measured"):
            figure(evidence, metric, role)
    with pytest.raises(MissingMetricError, match="of the baseline was not measured"):
        figure(evidence, "encode_ms_p95", "baseline")


def test_what_was_measured_of_another_encoder_does_not_count() -> None:
    figures = {"reload_agreement": 1.0}
    measured = {role: Measured(figures, encoder_digest="x") for role in ("candidate", "production")}
    evidence = Evidence(OURS, {"production": THEIRS}, measured)
    for role in measured:
        with pytest.raises(ValueError, match=f"another encoder was measured than the {role} that"):
            figure(evidence, "reload_agreement", role)


def test_drift_is_a_number_of_warnings_or_a_figure_by_name() -> None:
    evidence = Evidence(OURS, drift=Drift({"auc": 0.7, "psi": 0.1}, ("a", "b")))
    assert figure(evidence, "drift_warnings") == 2
    assert figure(evidence, "drift.auc") == 0.7
    with pytest.raises(MissingMetricError, match="no ks; it has auc, psi"):
        figure(evidence, "drift.ks")
    for metric in ("drift_warnings", "drift.auc"):
        with pytest.raises(MissingMetricError, match="no drift report"):
            figure(BOTH, metric)


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(odd: float) -> None:
    measured = {"candidate": Measured({"encode_ms_p50": odd})}
    evidence = Evidence(OURS, measurements=measured, drift=Drift({"auc": odd}))
    for metric in ("encode_ms_p50", "drift.auc"):
        with pytest.raises(ValueError, match="is not a number"):
            figure(evidence, metric)


BROKEN: list[tuple[RetrievalReport, str]] = [
    (with_metric(OURS, "recall_at_1", None), "has no recall_at_1"),
    (with_metric(OURS, "recall_at_1", float("nan")), "not a rate"),
    (with_metric(OURS, "recall_at_1", 1.01), "not a rate"),
    (with_metric(OURS, "recall_at_1", -0.1), "not a rate"),
    (with_metric(OURS, "recall_at_1", 0.56), "0.56 in its figures and 0.5555"),
    (without(OURS, "hit_at_1"), "no outcomes per query"),
]


@pytest.mark.parametrize("metric", ["recall_at_1", WORST_CLASS, FLIPS])
@pytest.mark.parametrize(("report", "problem"), BROKEN)
def test_figures_that_are_not_what_the_queries_say_are_refused_on_either_side(
    metric: str, report: RetrievalReport, problem: str
) -> None:
    whose = "production" if metric == FLIPS else None
    with pytest.raises(ValueError, match=problem):
        figure(Evidence(report, {"production": OURS}), metric, reference=whose)
    if metric == FLIPS:
        with pytest.raises(ValueError, match=problem):
            figure(Evidence(OURS, {"production": report}), metric, reference=whose)


@pytest.mark.parametrize("metric", ["recall_at_1", WORST_CLASS, FLIPS])
def test_a_missing_outcome_does_not_vanish_in_a_mean(metric: str) -> None:
    """Means of pandas leave missing values out, and bool(nan) is true: both would flatter."""
    hits = [1, float("nan"), float("nan"), 1, 1, 1, float("nan"), 1, float("nan")]
    report = with_metric(with_column(OURS, "hit_at_1", hits), "recall_at_1", 1.0)
    whose = "production" if metric == FLIPS else None
    with pytest.raises(ValueError, match="1.0 in its figures and nan over its queries"):
        figure(Evidence(report, {"production": THEIRS}), metric, reference=whose)


@pytest.mark.parametrize("metric", ["recall_at_1", FLIPS])
def test_an_image_that_is_judged_twice_is_refused(metric: str) -> None:
    twice = with_column(OURS, "image_id", "the same")
    with pytest.raises(ValueError, match="twice"):
        interval(Evidence(twice, {"production": twice}), metric, 0.95, "production")


def test_flips_need_the_same_queries() -> None:
    other = report_of([[1, 1, 0], [0, 1, 1], [1, 1, 1]])
    with pytest.raises(ValueError, match="candidate and production did not judge the same"):
        figure(Evidence(OURS, {"production": other}), FLIPS, reference="production")


def test_the_tables_metrics_are_known_and_others_are_not() -> None:
    for metric in (*KNOWN, "drift.auc"):
        check_metric(metric)
    for metric in RATES:
        check_metric(metric, RATES)
    for metric in (FLIPS, WORST_CLASS, *MEASURED, "drift_warnings", "drift.auc"):
        with pytest.raises(ValueError, match="metric must be one of recall_at_1"):
            check_metric(metric, RATES)
    for metric in ("recall_at_3", "drift.", "drift", "", "Recall@1", "recall_at_1 "):
        with pytest.raises(ValueError, match="metric must be one of recall_at_1"):
            check_metric(metric)
    for allowed in (KNOWN, RATES):
        with pytest.raises(ValueError, match="nmi moves by several points with the seed"):
            check_metric("nmi", allowed)


def test_only_metrics_with_an_outcome_per_query_have_intervals() -> None:
    assert [m for m in (*KNOWN, "drift.auc") if has_outcomes(m)] == [*RATES, FLIPS]


@pytest.mark.parametrize(
    ("metric", "value", "name", "text"),
    [
        ("recall_at_8", 0.5, "Recall@8", "50.0 %"),
        ("map_at_r", 0.125, "MAP@R", "12.5 %"),
        (FLIPS, 0.01, "the negative flip rate", "1.0 %"),
        (WORST_CLASS, 0.0, "the worst class's Recall@1", "0.0 %"),
        ("reload_agreement", 1.0, "the agreement after reload", "100.0 %"),
        ("encode_ms_p50", 12.34, "the median time to encode an image", "12.3 ms"),
        ("embedding_width", 4096.0, "the embedding width", "4096"),
        ("drift_warnings", 2.0, "the number of drift warnings", "2"),
        ("drift.auc", 0.75, "drift.auc", "0.75"),
    ],
)
def test_figures_in_sentences(metric: str, value: Any, name: str, text: str) -> None:
    assert (spoken(metric), said(metric, value)) == (name, text)


def test_a_rate_is_checked_against_hits_of_any_type() -> None:
    hits = OURS.per_query["hit_at_1"].to_numpy()
    for typed in (hits.astype(bool), hits.astype(np.float32), hits.astype(object)):
        assert rate_of(with_column(OURS, "hit_at_1", typed), "recall_at_1") == pytest.approx(5 / 9)
