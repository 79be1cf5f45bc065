"""One browser for the tests of a file: its driver's event loop must not outlive them."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.chromium import launched


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as started:
        yield started
