import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2, wasserstein_distance
from sklearn.metrics import roc_auc_score

from saga.monitoring.assessment import (
    SPOKEN,
    Assessment,
    auc_by_chance,
    base_of,
    kind_of,
    psi_by_chance,
    wasserstein_by_chance,
)
from saga.monitoring.image_statistics import STATISTICS
from saga.monitoring.policy import KINDS, DriftPolicy, Limits
from steps.drift.evidently_methods import PSI, column_drift

POLICY = DriftPolicy("p", Limits(domain_auc=0.1))


def test_a_threshold_is_what_is_expected_and_the_limit_and_chance_together():
    found = Assessment(POLICY)
    found.add("domain_auc_gallery", 0.75, 0.05, "queries against gallery", 0.6)
    found.add("brightness_gallery", 0.3, 0.04, "queries against gallery")
    assert found.thresholds == pytest.approx(
        {"domain_auc_gallery": 0.75, "brightness_gallery": 0.25 + 0.04}
    )
    assert found.expected == {"domain_auc_gallery": 0.6}
    (sentence,) = found.warnings  # 0.75 is not above 0.75
    assert sentence == (
        "queries against gallery: brightness has moved by 0.300 standard deviations; "
        "the threshold is 0.290."
    )


def test_every_figure_has_a_kind_and_a_sentence():
    assert {kind_of(f"{base}_training") for base in SPOKEN} == set(KINDS)
    assert set(STATISTICS) < set(SPOKEN)
    with pytest.raises(ValueError, match="there is no figure recall_at_1_gallery"):
        base_of("recall_at_1_gallery")


@pytest.mark.parametrize(("n", "m"), [(200, 200), (200, 1200)])
def test_chance_is_what_equal_samples_show(n, m):
    """The quantile at 5 %, found by simulation, lies near what is added for it."""
    rng = np.random.default_rng(0)
    aucs, distances = [], []
    for _ in range(300):
        a, b = rng.normal(size=n), rng.normal(size=m)
        distances.append(wasserstein_distance(a, b) / b.std())
        half = np.concatenate([a[: n // 2], b[: m // 2]])
        aucs.append(roc_auc_score([1] * (n // 2) + [0] * (m // 2), half) - 0.5)
    assert auc_by_chance(n, m, 0.05) == pytest.approx(np.quantile(aucs, 0.95), rel=0.2)
    assert wasserstein_by_chance(n, m, 0.05) == pytest.approx(
        np.quantile(distances, 0.95), rel=0.15
    )


@pytest.mark.parametrize(("n", "m"), [(40, 40), (200, 1200)])
def test_chance_of_psi_is_what_exchanged_images_show(n, m):
    """Against Evidently's own figure on samples of one skewed distribution."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        one, two = (pd.DataFrame({"a": rng.beta(1, 8, size)}) for size in (n, m))
        found.append(column_drift(one, two, ("a",), PSI)["a"])
    allowed = [psi_by_chance(rng.beta(1, 8, n), rng.beta(1, 8, m), 0.05) for _ in range(20)]
    assert np.mean(allowed) == pytest.approx(np.quantile(found, 0.95), rel=0.2)


def test_values_that_repeat_are_bins_of_their_own():
    rng = np.random.default_rng(0)
    one, two = (rng.integers(0, 3, size).astype(float) for size in (300, 300))
    assert psi_by_chance(one, two, 0.05) == pytest.approx(chi2.isf(0.05, 2) * 2 / 300, rel=0.15)


def test_more_images_leave_less_to_chance():
    for by_chance in (auc_by_chance, wasserstein_by_chance):
        few, many = by_chance(200, 200, 0.001), by_chance(2000, 2000, 0.001)
        assert 0 < many < few / 2.5
        assert by_chance(200, 200, 0.01) < few
