"""Fixtures: an API server that answers from a table, and a template as the bundled stack makes it."""

import pytest

pytest.importorskip("kubernetes", reason="the extra [kubernetes] is not installed")


@pytest.fixture
def api():
    from tests.pipelines.stacks.api import served

    with served() as server:
        yield server


@pytest.fixture
def template(tmp_path):
    from pipelines.stacks.pools import train_job_template
    from tests.pipelines.stacks import stacks

    return train_job_template(stacks.stack(tmp_path, {"pools.gpu-train.nodes": 4}))
