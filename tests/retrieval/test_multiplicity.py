import numpy as np
import pytest

from saga.retrieval.multiplicity import benjamini_hochberg, holm


def naive_holm(p_values):
    """Reject in rising order while p ≤ alpha / (tests left): the least alpha that rejects each."""
    order, adjusted, worst = np.argsort(p_values, kind="stable"), {}, 0.0
    for position, i in enumerate(order):
        worst = max(worst, min(1.0, (len(p_values) - position) * p_values[i]))
        adjusted[i] = worst
    return [adjusted[i] for i in range(len(p_values))]


def naive_benjamini_hochberg(p_values):
    """min over all p at least as large of p · tests / (how many are at most that p)."""
    m = len(p_values)
    return [
        min(1.0, *(q * m / sum(r <= q for r in p_values) for q in p_values if q >= p))
        for p in p_values
    ]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    ("adjust", "naive"), [(holm, naive_holm), (benjamini_hochberg, naive_benjamini_hochberg)]
)
def test_adjusted_values_are_those_of_the_definition_in_the_order_given(adjust, naive, seed):
    rng = np.random.default_rng(seed)
    p_values = (rng.random(rng.integers(1, 15)) ** 3).tolist()
    p_values += p_values[:2] + [0.0, 1.0]  # ties and both ends
    assert adjust(p_values) == pytest.approx(naive(p_values))


def test_a_known_example():
    p_values = [0.01, 0.04, 0.03, 0.005]
    assert holm(p_values) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert benjamini_hochberg(p_values) == pytest.approx([0.02, 0.04, 0.04, 0.02])


def test_holm_agrees_with_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p_values = np.random.default_rng(0).random(30) ** 4
    assert holm(p_values) == pytest.approx(multitest.multipletests(p_values, method="holm")[1])


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_one_test_needs_no_adjustment_and_none_gives_none(adjust):
    assert adjust([0.03]) == pytest.approx([0.03])
    assert adjust([]) == []


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_refused(adjust, wrong):
    with pytest.raises(ValueError, match="p-values"):
        adjust([0.5, wrong])


def test_holm_keeps_the_family_wise_error_and_no_adjustment_does_not():
    p_values = np.random.default_rng(0).random((2000, 5))
    plain = (p_values < 0.05).any(1).mean()
    held = np.mean([min(holm(row)) < 0.05 for row in p_values])
    assert held <= 0.065 and plain > 0.2
