"""Model names of a test's own, and `saga` in this process."""

import itertools

import pytest

from tests.pipelines.commands.conftest import saga  # noqa: F401 - a fixture
from tests.pipelines.promotion.made import Version, register

_numbers = itertools.count()


@pytest.fixture
def model() -> str:
    """A name that is not registered yet."""
    return f"birds-{next(_numbers)}-made"


@pytest.fixture
def promoted(saga, model: str) -> Version:  # noqa: F811 - the fixture
    """Version 1, in production on its evidence."""
    made = register(model, seed=1)
    said = saga("promote", model, 1, "--to", "production")
    assert said.code == 0, said.err
    return made
