"""The golden trajectory: six steps of the whole method, compared with what is committed."""

import json

import pytest

from tests.training.record_golden import FIGURES, GOLDEN, trajectory

RTOL, ATOL = 1e-3, 1e-5
"""Other kernels (AVX2, SSE, another thread count) move these figures by at most 1e-4 of their size, since
sampling compares uniform numbers with sums of probabilities and none of the seed's lies within rounding of
a boundary. A change of the method moves them by a hundredth or more."""
AGAIN = "If this is meant: python -m tests.training.record_golden, and say why in the commit."


@pytest.fixture(scope="module")
def golden():
    return json.loads(GOLDEN.read_text())


@pytest.fixture(scope="module")
def found():
    return trajectory()


@pytest.mark.parametrize("name", ["images", "pairs", "supervisor"])
def test_the_run_starts_from_what_the_golden_one_started_from(golden, found, name):
    assert found[name] == golden[name], f"other {name} than when it was recorded. {AGAIN}"


@pytest.mark.parametrize("figure", FIGURES)
def test_every_step_is_as_it_was(golden, found, figure):
    expected = [step[figure] for step in golden["steps"]]
    assert len(expected) == 6 and len({value for value in expected if value is not None}) > 1
    values = [step[figure] for step in found["steps"]]
    assert values == pytest.approx(expected, rel=RTOL, abs=ATOL), AGAIN
