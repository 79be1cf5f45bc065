"""Non-inferiority slice by slice: harm beyond chance is found, and chance is not taken for harm."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from saga.gates.base import GateResult, Status
from saga.gates.non_inferiority import NonInferiority
from saga.retrieval.report import RetrievalReport
from tests.gates.made import evenly, judge, report_of, with_column, with_outcomes, without
from tests.retrieval.test_multiplicity import naive_benjamini_hochberg

Hits = np.ndarray
"""Of shape classes × queries."""


def gate(slicing: str, **settings: Any) -> NonInferiority:
    return NonInferiority(
        **{"id": "sliced", "metric": "recall_at_1", "margin": 0.05, "slicing": slicing} | settings
    )


def alarms(result: GateResult) -> list[str]:
    return [part.value for part in result.slices if part.alarm]


# Slices of many classes: the clustered t test -----------------------------------------------------

MEANS = {"a": -0.02, "b": -0.062, "c": -0.08, "d": 0.01, "e": -0.2}
SPREAD, SIZE = 0.02, 12
"""Of the classes' differences, and classes of each slice."""


def by_attribute(
    metric: str = "map_at_r", means: dict[str, float] = MEANS
) -> tuple[RetrievalReport, RetrievalReport]:
    """Slices of twelve classes of three queries with these mean differences."""
    parts = [evenly(m, SPREAD, SIZE, order=i) for i, m in enumerate(means.values())]
    differences = [c for part in parts for c in part]
    column = np.repeat(list(means), SIZE * 3)
    reference = with_column(report_of([[0.5] * 3] * len(differences), "dml"), "slice.kind", column)
    return with_outcomes(reference, metric, differences), reference


def naive_chance(mean: float, margin: float) -> float:
    """Of the classes' means at a loss of just the margin, one-sided."""
    means = [np.mean(c) for c in evenly(mean, SPREAD, SIZE)]
    return float(stats.ttest_1samp(means, -margin, alternative="less").pvalue)


@pytest.mark.parametrize("metric", ["map_at_r", "recall_at_1"])
def test_every_slice_has_its_difference_and_its_corrected_chance(metric: str) -> None:
    candidate, reference = by_attribute(metric)
    result = judge(gate("kind", metric=metric), candidate, baseline=reference)
    raw = [naive_chance(mean, 0.05) for mean in MEANS.values()]
    expected = dict(zip(MEANS, naive_benjamini_hochberg(raw)))
    assert len(result.slices) == len(MEANS)
    for part in result.slices:
        assert part.difference == pytest.approx(MEANS[part.value])
        assert part.p_value == pytest.approx(expected[part.value])
        assert part.queries == SIZE * 3 and part.alarm is (expected[part.value] <= 0.025)
    assert alarms(result) == ["e", "c"], "b, a loss beyond the margin, may be chance"
    assert [part.value for part in result.slices] == ["e", "c", "b", "a", "d"]


def test_the_result_names_the_alarms_and_the_worst() -> None:
    candidate, reference = by_attribute()
    result = judge(gate("kind", metric="map_at_r"), candidate, baseline=reference)
    assert result.status is Status.FAIL and not result.passed
    assert result.reason == (
        "2 of 5 slices by kind lose more than 5.0 points of MAP@R against baseline beyond chance: "
        "e -20.0, c -8.0."
    )
    assert (result.statistic, result.value) == ("p_value", pytest.approx(-0.2))
    assert (result.threshold, result.limit, result.margin) == (-0.05, "least", 0.05)
    assert result.low is None and result.reference == "baseline"


def test_more_alarms_than_a_sentence_holds_are_counted() -> None:
    candidate, reference = by_attribute(means={f"s{i}": -0.2 - i / 100 for i in range(6)})
    reason = judge(gate("kind", metric="map_at_r"), candidate, baseline=reference).reason
    assert reason.endswith("beyond chance: s5 -25.0, s4 -24.0, s3 -23.0 and 3 more.")


@pytest.mark.parametrize(("mean", "passes"), [(-0.05, True), (-0.062, True), (-0.07, False)])
def test_the_gate_fails_at_the_first_alarm_and_else_passes(mean: float, passes: bool) -> None:
    candidate, reference = by_attribute(means={"a": mean, "b": 0.0})
    result = judge(gate("kind", metric="map_at_r"), candidate, baseline=reference)
    assert result.passed is passes is not alarms(result)
    if passes:
        worst = f"lowest: a {100 * mean:.1f}, b +0.0."
        assert result.reason == (
            "None of 2 slices by kind loses more than 5.0 points of MAP@R against baseline beyond "
            f"chance; {worst}"
        )


def test_alpha_and_margin_move_the_alarm() -> None:
    candidate, reference = by_attribute(means={"a": -0.062, "b": 0.0})
    chance = 2 * naive_chance(-0.062, 0.05)
    for alpha, found in ((2 * chance + 1e-6, ["a"]), (2 * chance - 1e-6, [])):
        chosen = gate("kind", metric="map_at_r")
        assert alarms(judge(chosen, candidate, alpha=alpha, baseline=reference)) == found
    for margin, found in ((0.04, ["a"]), (0.07, [])):
        chosen = gate("kind", metric="map_at_r", margin=margin)
        assert alarms(judge(chosen, candidate, baseline=reference)) == found


def test_class_sizes_are_slices() -> None:
    sizes = [4] * 10 + [8] * 10 + [12] * 10
    rng = np.random.default_rng(0)
    lost = [rng.random(n) < (0.4 if n == 12 else 0.02) for n in sizes]
    reference = report_of([[1.0] * n for n in sizes], "dml")
    candidate = report_of([(~row).astype(float) for row in lost])
    result = judge(gate("class_size", margin=0.1), candidate, baseline=reference)
    assert alarms(result) == ["large"] and result.status is Status.FAIL
    assert {part.value: part.queries for part in result.slices} == {
        "small": 40,
        "medium": 80,
        "large": 120,
    }


def corrupted(blurred: float) -> tuple[RetrievalReport, RetrievalReport]:
    """Clean queries are all found; of the candidate's blurred ones a share is lost."""
    report = report_of([[1.0] * 5] * 30, "dml")
    lost = np.random.default_rng(1).random(150) < blurred
    reference = with_column(with_column(report, "corrupted.jpeg", 1.0), "corrupted.blur", 1.0)
    candidate = with_column(reference, "corrupted.blur", (~lost).astype(float))
    return candidate, reference


def test_corruptions_are_slices_over_the_same_queries() -> None:
    candidate, reference = corrupted(0.3)
    result = judge(gate("corruption"), candidate, baseline=reference)
    assert alarms(result) == ["blur"] and result.status is Status.FAIL
    assert [part.queries for part in result.slices] == [150, 150]
    assert judge(gate("corruption", margin=0.5), candidate, baseline=reference).passed
    assert judge(gate("corruption"), reference, baseline=candidate).passed, "better is no harm"


@pytest.mark.parametrize(
    ("slicing", "change", "problem"),
    [
        ("corruption", lambda c, r: (without(c, "corrupted.blur"), r), "have different slices"),
        ("corruption", lambda c, r: (c, without(r, "corrupted.jpeg")), "have different slices"),
        ("corruption", lambda c, r: (report_of([[1] * 5] * 30), r), "no corrupted queries"),
        ("corruption", lambda c, r: (c, report_of([[1] * 5] * 30)), "no corrupted queries"),
        (
            "corruption",
            lambda c, r: (with_column(c, "corrupted.blur", float("nan")), r),
            "missing or not finite",
        ),
        ("weather", lambda c, r: (c, r), "no slices by weather"),
        ("weather", lambda c, r: (with_column(c, "slice.weather", "fog"), r), "no slices by weath"),
        (
            "weather",
            lambda c, r: (with_column(c, "slice.weather", None),) * 2,
            "no slice by weather has the two classes",
        ),
        ("class", lambda c, r: (c, report_of([[1] * 5] * 29)), "have different slices"),
        ("class", lambda c, r: (c, report_of([[1] * 6] * 30)), "did not judge the same queries"),
        ("class_size", lambda c, r: (c, report_of([[1] * 6] * 30)), "did not judge the same"),
        ("class", lambda c, r: (with_column(c, "image_id", "one"),) * 2, "judges an image twice"),
        ("class", lambda c, r: (with_column(c, "hit_at_1", [float("nan")] * 150), r), "nan over"),
    ],
)
def test_slices_that_do_not_fit_together_cannot_be_judged(
    slicing: str, change: Any, problem: str
) -> None:
    candidate, reference = change(*corrupted(0.3))
    with pytest.raises(ValueError, match=problem):
        judge(gate(slicing), candidate, baseline=reference)


def test_a_slice_of_one_class_has_no_interval_and_is_left_out() -> None:
    candidate, reference = by_attribute(means={"a": 0.0, "b": 0.0})
    column = ["lonely"] * 3 + candidate.per_query["slice.kind"].tolist()[3:]
    pair = [with_column(r, "slice.kind", column) for r in (candidate, reference)]
    result = judge(gate("kind", metric="map_at_r"), pair[0], baseline=pair[1])
    assert {part.value for part in result.slices} == {"a", "b"}


def test_slices_at_the_margin_raise_alarms_as_seldom_as_alpha_says() -> None:
    """Eight slices of fifteen classes, worse by just the margin: a tenth of the cases at 0.2."""
    rng, draws, found, uncorrected, margin = np.random.default_rng(5), 40, 0, 0, 0.05
    kinds = np.repeat([f"s{i}" for i in range(8)], 15 * 4)
    reference = with_column(report_of([[0.5] * 4] * 120, "dml"), "slice.kind", kinds)
    chosen = gate("kind", metric="map_at_r", margin=margin)
    for _ in range(draws):
        lost = rng.normal(-margin, 0.05, (120, 1)) + rng.normal(0, 0.05, (120, 4))
        candidate = with_outcomes(reference, "map_at_r", list(lost))
        result = judge(chosen, candidate, alpha=0.2, baseline=reference)
        found += result.status is Status.FAIL
        means = lost.mean(1).reshape(8, 15)
        chances = stats.ttest_1samp(means, -margin, axis=1, alternative="less").pvalue
        uncorrected += min(chances) <= 0.1
    assert found <= stats.binom.ppf(0.999, draws, 0.1) < uncorrected


# Single classes: the sign test --------------------------------------------------------------------


def report_from(hits: Hits, name: str = "saga") -> RetrievalReport:
    return report_of(list(hits.astype(float)), name)


def naive_class_alarms(ours: Hits, theirs: Hits, margin: float, alpha: float) -> list[str]:
    """Classes that lose more than the margin beyond chance, by the definitions in loops."""
    tests = []
    for a, b in zip(ours, theirs):
        losses, gains = int((b & ~a).sum()), int((a & ~b).sum())
        n = losses + gains
        chance = sum(stats.binom.pmf(k, n, 0.5) for k in range(losses, n + 1))
        beyond = (losses - gains) / len(a) > margin
        tests.append((chance if beyond else 1.0, 0.5**n))
    K = next(k for k in range(1, len(tests) + 1) if sum(s <= alpha / k for _, s in tests) <= k)
    able = [i for i, (_, smallest) in enumerate(tests) if smallest <= alpha / K]
    adjusted = naive_benjamini_hochberg([tests[i][0] for i in able])
    return sorted(f"class {i}" for i, p in zip(able, adjusted) if p <= alpha)


@pytest.mark.parametrize("seed", range(4))
def test_class_alarms_are_those_of_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    theirs = rng.random((30, 15)) < 0.8
    ours = np.where(rng.random((30, 15)) < 0.3, rng.random((30, 15)) < 0.8, theirs)
    ours[:3] &= rng.random((3, 15)) < 0.25
    pair = report_from(ours), report_from(theirs, "dml")
    found = 0
    for margin, alpha in ((0.05, 0.05), (0.3, 0.05), (0.5, 0.05), (0.05, 0.4)):
        result = judge(gate("class", margin=margin), pair[0], alpha=alpha, baseline=pair[1])
        expected = naive_class_alarms(ours, theirs, margin, alpha / 2)
        assert sorted(alarms(result)) == expected
        assert result.status is (Status.FAIL if expected else Status.PASS)
        assert len(result.slices) == 30
        found += len(expected)
    assert found, "without alarms this proves nothing"


def drawn(
    rng: np.random.Generator, rate: float, flipped: float, queries: int, classes: int = 60
) -> tuple[Hits, Hits]:
    """Hits of two equal encoders: classes differ, and the two agree on most queries."""
    rates = rng.beta(6 * rate, 6 * (1 - rate), (classes, 1))
    theirs = rng.random((classes, queries)) < rates
    again = rng.random((classes, queries)) < rates
    return np.where(rng.random((classes, queries)) < flipped, again, theirs), theirs


@pytest.mark.parametrize(
    ("rate", "queries", "flipped"), [(0.5, 20, 0.4), (0.8, 10, 0.3), (0.9, 12, 0.2)]
)
def test_one_class_forgotten_among_sixty_is_found(
    rate: float, queries: int, flipped: float
) -> None:
    """Even where a class has so few hits that a correction for all sixty would hide it."""
    found, draws = 0, 8
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        ours, theirs = drawn(rng, rate, flipped, queries)
        theirs[17] = rng.random(queries) < rate
        ours[17] = False
        result = judge(gate("class", margin=0.3), report_from(ours), baseline=report_from(theirs))
        assert set(alarms(result)) <= {"class 17"}
        found += result.status is Status.FAIL
        if result.status is Status.FAIL:
            assert "1 of 60 slices by class" in result.reason and "class 17 -" in result.reason
    assert found >= 0.7 * draws


def test_equal_encoders_raise_class_alarms_as_seldom_as_alpha_says() -> None:
    """With a margin below a single query; a wider one only takes alarms away."""
    rng, draws, found, uncorrected = np.random.default_rng(9), 25, 0, 0
    for _ in range(draws):
        ours, theirs = drawn(rng, 0.6, 0.6, 20)
        result = judge(gate("class", margin=0.01), report_from(ours), baseline=report_from(theirs))
        found += result.status is Status.FAIL
        losses, changed = (theirs & ~ours).sum(1), (theirs ^ ours).sum(1)
        uncorrected += min(stats.binom.sf(losses - 1, changed, 0.5)) <= 0.025
    assert found <= stats.binom.ppf(0.999, draws, 0.025) < uncorrected


def test_a_loss_within_the_margin_is_no_alarm_however_certain() -> None:
    theirs = np.ones((10, 100), bool)
    ours = theirs.copy()
    ours[0, :30] = False
    pair = report_from(ours), report_from(theirs)
    assert alarms(judge(gate("class", margin=0.29), pair[0], baseline=pair[1])) == ["class 0"]
    assert alarms(judge(gate("class", margin=0.3), pair[0], baseline=pair[1])) == []


def test_the_very_same_hits_raise_no_alarm() -> None:
    report = report_from(np.random.default_rng(0).random((20, 6)) < 0.5)
    for slicing in ("class", "class_size"):
        result = judge(gate(slicing, margin=0.001), report, baseline=report)
        assert result.passed and all(part.p_value == 1 or not part.alarm for part in result.slices)
