"""Fixtures: an API server that answers from a table."""

import pytest

pytest.importorskip("kubernetes", reason="the extra [kubernetes] is not installed")


@pytest.fixture
def api():
    from tests.pipelines.stacks.api import served

    with served() as server:
        yield server
