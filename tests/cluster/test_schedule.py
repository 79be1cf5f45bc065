"""A schedule on a real CronJob controller: fires, never overlaps, changes, goes without a trace."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.api import Object
from tests.cluster.cluster import Cluster, wait_for
from tests.cluster.desk import CONFIG, Desk, desk_at
from tests.cluster.jobs import jobs
from tests.cluster.naming import OURS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

MINUTE = 60.0
NAME = "nightly"
EVERY_MINUTE = "* * * * *"
AT_NEW_YEAR = "0 4 1 1 *"


@pytest.fixture(scope="module")
def desk(pools: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with desk_at(pools, "saga-scheduled", tmp_path_factory.mktemp("scheduled") / "desk") as made:
        yield made


@pytest.fixture(scope="module")
def stack(desk: Desk) -> Path:
    """The first step asks for more than there is: a run that has begun goes on and on."""
    pools = OURS.stack()
    taken = pools["pools"][OURS.judge]
    taken["accelerator"] = taken["accelerator"] | {"count": 9}
    steps = pools["steps"] | {"load_dataset": OURS.judge}
    made = desk.stack("waits", OURS, pools=pools["pools"], steps=steps)
    ended = desk.run("stack", "apply", str(made))
    assert ended.code == 0, ended.said
    return made


def schedule(desk: Desk, stack: Path, cron: str, **run: Any) -> Path:
    path = desk.folder / f"{NAME}.yaml"
    what = {"run": {"config": str(CONFIG)} | run}
    given = {"name": NAME, "what": what, "cron": cron, "time_zone": "UTC"}
    path.write_text(json.dumps(given | {"stack": str(stack), "starting_deadline_seconds": 100}))
    return path


def applied(desk: Desk, file: Path) -> dict[str, Any]:
    ended = desk.run("schedule", "apply", str(file), "--json")
    assert ended.code == 0, ended.said
    (made,) = ended.summary["schedules"]
    return made


def cron_jobs(desk: Desk) -> list[Object]:
    path = f"/apis/batch/v1/namespaces/{desk.space}/cronjobs"
    found: list[Object] = desk.cluster.api.get(path)["items"]
    return found


def runs(desk: Desk) -> list[Object]:
    """Jobs that the CronJob made."""
    made = [item for item in desk.jobs() if owner(item) == "CronJob"]
    return sorted(made, key=lambda item: item["metadata"]["creationTimestamp"])


def owner(item: Object) -> str | None:
    owners = item["metadata"].get("ownerReferences", [])
    return owners[0]["kind"] if owners else None


def events(desk: Desk, reason: str) -> list[Object]:
    found = desk.cluster.api.get(f"/api/v1/namespaces/{desk.space}/events")["items"]
    return [event for event in found if event["reason"] == reason]


def listed(desk: Desk, stack: Path) -> list[dict[str, Any]]:
    """What `saga schedule list` says of the stack."""
    ended = desk.run("schedule", "list", "--stack", str(stack), "--json")
    assert ended.code == 0, ended.said
    return [entry for entry in ended.summary["schedules"] if entry["stack"] == str(stack)]


def test_a_schedules_life(desk, stack):
    file = schedule(desk, stack, EVERY_MINUTE)
    assert applied(desk, file)["done"] == "created"
    (made,) = cron_jobs(desk)
    assert made["spec"]["schedule"] == EVERY_MINUTE
    assert made["spec"]["timeZone"] == "UTC"
    assert made["spec"]["concurrencyPolicy"] == "Forbid"
    assert made["spec"]["startingDeadlineSeconds"] == 100
    assert applied(desk, file)["done"] == "unchanged"

    (going,) = wait_for(lambda: runs(desk), "the schedule to fire", 2 * MINUTE)
    wait_for(lambda: waits(desk, "load_dataset"), "the run's first step to wait", 2 * MINUTE)
    (told,) = listed(desk, stack)
    assert told["enabled"]
    assert told["next_fire"] is not None
    wait_for(lambda: events(desk, "JobAlreadyActive"), "a run to be left out", 2 * MINUTE)
    assert [item["metadata"]["name"] for item in runs(desk)] == [going["metadata"]["name"]]

    changed = applied(desk, schedule(desk, stack, AT_NEW_YEAR, set=["training.seed=7"]))
    assert changed["done"] == "replaced"
    assert going["metadata"]["name"] in " ".join(changed["warnings"])
    (made,) = cron_jobs(desk)
    assert made["spec"]["schedule"] == AT_NEW_YEAR

    ended = desk.run("schedule", "delete", NAME, "--stack", str(stack), "--json")
    assert ended.code == 0, ended.said
    assert not cron_jobs(desk)
    assert not listed(desk, stack)
    # What had begun is not cut off. Its end is the end of all that there was.
    (still,) = [item for item in desk.jobs() if not item["metadata"].get("ownerReferences")]
    assert still["metadata"]["uid"] == going["metadata"]["uid"]
    path = f"{jobs(desk.space)}/{still['metadata']['name']}"
    desk.cluster.api.delete(path, {"propagationPolicy": "Background"})
    wait_for(lambda: nothing_left(desk), "everything of it to go", 2 * MINUTE)


def waits(desk: Desk, step: str) -> bool:
    """Whether the scheduler found no place for a step's pod."""
    found = [c for pod in desk.pods(step) for c in pod["status"].get("conditions", [])]
    return any(c["type"] == "PodScheduled" and c["status"] == "False" for c in found)


def nothing_left(desk: Desk) -> bool:
    secrets = desk.cluster.api.get(f"/api/v1/namespaces/{desk.space}/secrets")["items"]
    return not (cron_jobs(desk) or desk.jobs() or desk.pods() or secrets)
