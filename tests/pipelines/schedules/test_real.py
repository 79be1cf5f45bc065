"""`saga schedule` with ZenML's own database and orchestrator, and the real Kubernetes client."""
# ruff: noqa: F401, F811 - `saga` is a fixture of the commands' tests

import json
from pathlib import Path

import pytest

pytest.importorskip("kubernetes", reason="the extra [kubernetes] is not installed")

from pipelines.registry import client
from pipelines.schedules.cronjobs import DIGEST
from pipelines.stacks.components import apply_stack
from pipelines.stacks.configuration import read_stack
from tests.pipelines.commands.conftest import saga
from tests.pipelines.promotion.made import register
from tests.pipelines.schedules.cron_api import served_cron_jobs
from tests.pipelines.stacks.objects import looked, sees
from tests.pipelines.stacks.stacks import written

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """One server for all tests: ZenML keeps its connection to a cluster."""
    with served_cron_jobs() as served, pytest.MonkeyPatch.context() as patch:
        kubeconfig = served.api.kubeconfig(tmp_path_factory.mktemp("kubeconfig"))
        patch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))
        yield served


@pytest.fixture
def cluster(served):
    assert not served.cron_jobs and not rows()
    yield served
    served.failing = set()


@pytest.fixture
def stack(cluster, tmp_path) -> Path:
    """A registered stack on the embedded database, whose cluster answers from a table."""
    cache = {"mount_path": "/cache", "host_path": str(tmp_path), "claim": None}
    changes = {"name": "scheduled", "cache": cache, "jobs.image_check_minutes": 0}
    file = written(tmp_path, changes, ("server", "artifact_store"))
    apply_stack(read_stack(file))
    return file


@pytest.fixture
def file(stack, tmp_path):
    """Writes the schedule's file, with changes."""

    def write(**changes: object) -> Path:
        values = {
            "name": "a-name-of-27-letters-at-mos",
            "what": {"run": {"config": "tests/e2e/tiny.yaml"}},
            "cron": "0 4 * * sun",
            "time_zone": "Europe/Berlin",
            "stack": str(stack),
        }
        path = tmp_path / "schedule.yaml"
        path.write_text(json.dumps({**values, **changes}))
        return path

    return write


def rows() -> list[str]:
    """Names of all of ZenML's schedules, archived ones included."""
    return [row.name for row in client().list_schedules(is_archived=None, size=100).items]


def test_a_schedule_is_made_changed_replaced_shown_and_removed(saga, cluster, stack, file):
    def applied(**changes: object) -> str:
        said = saga("schedule", "apply", file(**changes), "--json")
        assert said.code == 0, said
        return said.facts["schedules"][0]["done"]

    assert applied() == "created"
    ((name, job),) = cluster.cron_jobs.items()
    assert name.startswith("a-name-of-27-letters-at-mos-")
    spec = dict(job["spec"])
    pod = spec.pop("jobTemplate")["spec"]["template"]["spec"]
    assert spec == {
        "schedule": "0 4 * * 0",
        "timeZone": "Europe/Berlin",
        "suspend": False,
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": 3600,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 3,
    }
    assert pod["containers"][0]["image"] == read_stack(stack).image
    assert pod["serviceAccountName"] == "saga-orchestrator"

    assert applied() == "unchanged"
    assert applied(cron="30 5 * * *", enabled=False) == "changed"
    assert (job["spec"]["schedule"], job["spec"]["suspend"]) == ("30 5 * * *", True)
    said = saga("schedule", "list", file(), "--json")
    (found,) = said.facts["schedules"]
    assert (found["enabled"], found["when"]) == (False, "at 05:30 every day, Europe/Berlin")

    digest = job["metadata"]["annotations"][DIGEST]
    changed = {"run": {"config": "tests/e2e/tiny.yaml", "set": ["training.steps=2"]}}
    assert applied(what=changed) == "replaced"
    ((other, job),) = cluster.cron_jobs.items()
    assert other != name and job["metadata"]["annotations"][DIGEST] != digest
    assert rows() == ["a-name-of-27-letters-at-mos"]

    cluster.failing = {"DELETE"}
    assert saga("schedule", "delete", "a-name-of-27-letters-at-mos", "--stack", stack).code == 2
    cluster.failing = set()
    unknown = saga("schedule", "delete", "a-name-of-27-leters", "--stack", stack)
    assert unknown.code == 2 and "Nearest: a-name-of-27-letters-at-mos" in unknown.err
    gone = saga("schedule", "delete", "a-name-of-27-letters-at-mos", "--stack", stack)
    assert gone.code == 0 and other in gone.out
    assert not cluster.cron_jobs and not rows()


def test_a_promotion_leaves_a_schedule_as_it_is(saga, cluster, stack, file):
    what = {"run": {"config": "tests/e2e/tiny.yaml", "set": ["model=scheduled-birds"]}}

    def applied() -> str:
        said = saga("schedule", "apply", file(what=what), "--json")
        return said.facts["schedules"][0]["done"]

    assert applied() == "created"
    register("scheduled-birds", 1)
    assert saga("promote", "scheduled-birds", 1, "--to", "production").code == 0
    assert applied() == "unchanged"
    name = "a-name-of-27-letters-at-mos"
    assert saga("schedule", "delete", name, "--stack", stack).code == 0


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_cluster_that_fails_is_told_and_nothing_is_left(saga, cluster, file, method):
    cluster.failing = {method}
    said = saga("schedule", "apply", file())
    assert said.code == 2 and f"{method} is broken" in said.err
    assert not cluster.cron_jobs and not rows()


def test_an_image_without_this_version_is_refused_before_anything_is_made(
    saga, cluster, stack, file
):
    stack.write_text(stack.read_text().replace("image_check_minutes: 0", "image_check_minutes: 5"))
    looked(cluster.api, "Failed", "python: No module named pipelines", code=1)
    said = saga("schedule", "apply", file())
    assert said.code == 2 and "does not hold this version of saga" in said.err
    assert not cluster.cron_jobs and not rows()
    looked(cluster.api, log=sees())
    assert saga("schedule", "apply", file()).code == 0
    saga("schedule", "delete", "a-name-of-27-letters-at-mos", "--stack", stack)


def test_monitoring_is_scheduled_where_pods_see_the_queries(saga, cluster, file):
    asked = {"monitor": {"model": "birds", "queries": "/cache/queries"}}
    assert saga("schedule", "apply", file(what=asked)).code == 0
    assert len(cluster.cron_jobs) == 1
    saga(
        "schedule", "delete", "a-name-of-27-letters-at-mos", "--stack", file().parent / "stack.yaml"
    )
    asked["monitor"]["queries"] = "queries"
    said = saga("schedule", "apply", file(what=asked))
    assert said.code == 2 and "what.monitor.queries: queries is in none of the volumes" in said.err
    assert not cluster.cron_jobs


def test_a_stack_that_is_not_registered_is_told(saga, cluster, stack, file):
    stack.write_text(stack.read_text().replace("name: scheduled", "name: another"))
    said = saga("schedule", "apply", file())
    assert said.code == 2 and "saga stack apply" in said.err
