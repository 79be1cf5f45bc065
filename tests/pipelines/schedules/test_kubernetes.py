import pytest
from kubernetes.client import ApiException

from pipelines.schedules.configuration import History
from pipelines.schedules.cronjobs import wanted
from pipelines.schedules.kubernetes import INERT
from pipelines.schedules.scheduler import Deleted
from saga.errors import SagaError, UserInputError
from tests.pipelines.schedules.fakes import FakeCluster, FakeSubmission, Killed, World, refusal
from tests.pipelines.schedules.made import schedule


def test_apply_makes_a_cron_job_that_forbids_overlaps_and_keeps_its_zone():
    world = World()
    given = schedule(starting_deadline_seconds=600, history=History(5, 2))
    assert world.scheduler().apply(given).done == "created"
    assert world.only_job()["spec"] == {
        "schedule": "0 4 * * 0",
        "timeZone": "Europe/Berlin",
        "suspend": False,
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": 600,
        "successfulJobsHistoryLimit": 5,
        "failedJobsHistoryLimit": 2,
    }
    (row,) = world.zenml.rows.values()
    assert (row.name, row.cron_expression, row.active) == ("retrain", "0 4 * * 0", True)


def test_apply_again_changes_nothing():
    world = World()
    world.scheduler().apply(schedule())
    before = len(world.wire.calls)
    assert world.scheduler().apply(schedule()).done == "unchanged"
    assert len(world.wire.calls) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"cron": "30 5 * * *"},
        {"enabled": False},
        {"cron": "30 5 * * *", "enabled": False},
        {"time_zone": "UTC"},
        {"history": History(0, 0)},
        {"starting_deadline_seconds": 60},
    ],
)
def test_times_and_limits_are_patched_in_the_same_cron_job(changes):
    world = World()
    world.scheduler().apply(schedule())
    (name,) = world.cluster.jobs
    changed = schedule(**changes)
    applied = world.scheduler().apply(changed)
    assert applied.done == "changed" and applied.changes
    assert list(world.cluster.jobs) == [name]
    assert world.only_job()["spec"] == wanted(changed)
    (row,) = world.zenml.rows.values()
    assert (row.cron_expression, row.active) == (changed.times.text, changed.enabled)
    assert world.scheduler().apply(changed).done == "unchanged"


def test_one_that_is_not_enabled_never_fires_while_it_is_made():
    world = World()
    world.scheduler().apply(schedule(enabled=False))
    assert world.only_job()["spec"] == wanted(schedule(enabled=False))
    assert not world.cluster.live()


def test_other_code_settings_or_image_take_the_place_of_the_old_one():
    world = World()
    world.scheduler().apply(schedule())
    (old,) = world.cluster.jobs
    world.digest = "digest-2"
    assert world.scheduler().apply(schedule()).done == "replaced"
    assert world.digest_of_job() == "digest-2"
    assert old not in world.cluster.jobs and world.names() == ["retrain"]


def test_a_run_of_the_replaced_one_finishes_and_the_user_is_told():
    world = World()
    world.scheduler().apply(schedule())
    (old,) = world.cluster.jobs
    world.only_job()["active"] = ["retrain-123"]
    world.digest = "digest-2"
    (warning,) = world.scheduler().apply(schedule()).warnings
    assert "retrain-123" in warning
    assert world.cluster.deletions == [(old, "Orphan")]


def applied_once(digest: str = "digest-1") -> World:
    """With a schedule, made of one digest; what would be submitted now has this one."""
    world = World(token=True)
    world.scheduler().apply(schedule())
    world.digest = digest
    return world


def replacing_calls() -> int:
    """Calls that change something while a schedule is replaced."""
    world = applied_once("digest-2")
    before = len(world.wire.calls)
    world.scheduler().apply(NEW)
    return len(world.wire.calls) - before


NEW = schedule(cron="0 5 * * *")
CREATING = len(applied_once().wire.calls)
REPLACING = replacing_calls()


@pytest.mark.parametrize("number", range(1, CREATING + 1))
def test_a_failure_while_one_is_made_leaves_nothing(number):
    world = World(token=True)
    world.wire.fail_at = number
    with pytest.raises(UserInputError, match="failed"):
        world.scheduler().apply(schedule())
    assert not world.zenml.rows and not world.cluster.jobs and not world.cluster.secrets
    assert world.scheduler().apply(schedule()).done == "created"
    assert world.only_job()["spec"] == wanted(schedule())


@pytest.mark.parametrize("number", range(1, CREATING + 1))
def test_what_a_killed_apply_left_fires_whole_or_not_at_all(number):
    world = World(token=True)
    world.wire.kill_at = number
    with pytest.raises(Killed):
        world.scheduler().apply(schedule())
    for name in world.cluster.live():
        assert world.cluster.jobs[name]["spec"] == wanted(schedule())
    world.wire.kill_at = None
    world.scheduler().apply(schedule())
    assert world.only_job()["spec"] == wanted(schedule())
    assert world.digest_of_job() == "digest-1"


@pytest.mark.parametrize("number", range(1, REPLACING + 1))
def test_a_failure_while_one_is_replaced_leaves_the_old_or_the_new(number):
    world = applied_once("digest-2")
    world.wire.fail_at = len(world.wire.calls) + number
    with pytest.raises(UserInputError, match="failed"):
        world.scheduler().apply(NEW)
    (live,) = world.cluster.live()
    job = world.cluster.jobs[live]
    assert (job["annotations"]["saga/digest"], job["spec"]) in [
        ("digest-1", wanted(schedule())),
        ("digest-2", wanted(NEW)),
    ]
    world.scheduler().apply(NEW)
    assert (world.digest_of_job(), world.only_job()["spec"]) == ("digest-2", wanted(NEW))


@pytest.mark.parametrize("number", range(1, REPLACING + 1))
def test_a_kill_while_one_is_replaced_never_leaves_two_that_fire(number):
    world = applied_once("digest-2")
    world.wire.kill_at = len(world.wire.calls) + number
    with pytest.raises(Killed):
        world.scheduler().apply(NEW)
    assert len(world.cluster.live()) <= 1
    world.wire.kill_at = None
    world.scheduler().apply(NEW)
    assert (world.digest_of_job(), world.only_job()["spec"]) == ("digest-2", wanted(NEW))
    assert world.names() == ["retrain"]


def test_a_cron_job_whose_name_zenml_lost_is_not_left_behind():
    world = World(loses_metadata=True)
    with pytest.raises(SagaError, match="without a CronJob"):
        world.scheduler().apply(schedule())
    assert not world.zenml.rows and not world.cluster.jobs


@pytest.mark.parametrize("edit", [{"suspend": True}, {"schedule": "1 1 * * *"}])
def test_what_others_changed_in_the_cluster_is_put_right(edit):
    world = World()
    world.scheduler().apply(schedule())
    world.only_job()["spec"] |= edit
    assert world.scheduler().apply(schedule()).done == "changed"
    assert world.only_job()["spec"] == wanted(schedule())


def test_one_whose_cron_job_is_gone_is_made_again():
    world = World()
    world.scheduler().apply(schedule())
    world.cluster.jobs.clear()
    assert "gone" in str(world.scheduler().list()[0].problem)
    assert world.scheduler().apply(schedule()).done == "created"
    assert world.only_job()["spec"] == wanted(schedule())


def test_a_cluster_that_drops_time_zones_is_told_with_the_next_times_in_both():
    world = World(FakeCluster(keeps_zones=False))
    with pytest.raises(UserInputError, match="time_zone: Europe/Berlin cannot be kept") as caught:
        world.scheduler().apply(schedule(cron="0 4 1 7 *"))
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == 5
    assert all("04:00 CEST = " in line and "02:00 UTC" in line for line in lines)
    assert not world.cluster.jobs and not world.zenml.rows


def test_utc_needs_no_time_zone_of_the_cluster():
    world = World(FakeCluster(keeps_zones=False))
    world.scheduler().apply(schedule(time_zone="UTC"))
    assert world.scheduler().apply(schedule(time_zone="UTC")).done == "unchanged"


def test_a_cluster_that_drops_time_zones_keeps_what_it_had():
    world = World(FakeCluster(keeps_zones=False))
    world.scheduler().apply(schedule(time_zone="UTC"))
    before = dict(world.only_job()["spec"])
    with pytest.raises(UserInputError, match="cannot be kept"):
        world.scheduler().apply(schedule(cron="0 5 * * *"))
    assert world.only_job()["spec"] == before


def test_two_commands_at_once_do_not_undo_each_other():
    world = World()

    class Late(FakeSubmission):
        def submit(self, name: str, cron: str) -> None:
            world.scheduler().apply(schedule())  # another command was faster
            super().submit(name, cron)

    late = world.scheduler()
    late._prepare = lambda _: Late(world.zenml, "digest-1")
    with pytest.raises(UserInputError, match="Another command is at work"):
        late.apply(schedule())
    assert world.only_job()["spec"] == wanted(schedule())


def test_a_name_of_another_stack_is_refused():
    world = World()
    world.zenml.create("retrain", "0 0 * * *", orchestrator="another")
    with pytest.raises(UserInputError, match="another stack"):
        world.scheduler().apply(schedule())
    assert world.names() == ["retrain"] and not world.cluster.jobs


def test_list_shows_times_the_last_run_and_whether_it_fires():
    world = World()
    world.scheduler().apply(schedule())
    world.scheduler().apply(schedule(name="watch", enabled=False))
    for name, status, day in [
        ("retrain", "failed", 20),
        ("retrain", "completed", 27),
        ("retrain-2026", "failed", 28),
    ]:
        world.zenml.run(name, status, day)
    retrain, watch = world.scheduler().list()
    assert (retrain.name, retrain.cron, retrain.time_zone) == (
        "retrain",
        "0 4 * * 0",
        "Europe/Berlin",
    )
    assert retrain.last == "completed, 2026-11-27 04:00" and retrain.enabled
    assert retrain.next_fire is not None and retrain.next_fire.hour == 4
    assert (watch.enabled, watch.last, watch.next_fire) == (False, None, None)


def test_list_names_one_that_was_never_finished():
    world = World()
    world.submission().submit("retrain", INERT)
    (found,) = world.scheduler().list()
    assert "never finished" in str(found.problem) and found.next_fire is None


def test_delete_removes_cron_job_row_and_token():
    world = World(token=True)
    world.scheduler().apply(schedule())
    (job,) = world.cluster.jobs
    done = world.scheduler().delete("retrain")
    assert done == Deleted("retrain", (f"CronJob {job}", "schedule retrain"))
    assert not world.zenml.rows and not world.cluster.jobs and not world.cluster.secrets


def test_delete_lets_a_run_finish_which_then_owns_the_token():
    world = World(token=True)
    world.scheduler().apply(schedule())
    world.only_job()["active"] = ["retrain-123"]
    assert world.scheduler().delete("retrain").still_running == ("retrain-123",)
    ((owner,),) = world.cluster.secrets.values()
    assert (owner["kind"], owner["name"]) == ("Job", "retrain-123")


def test_delete_of_an_unknown_name_names_the_nearest_and_touches_nothing():
    world = World()
    world.scheduler().apply(schedule())
    with pytest.raises(UserInputError, match="Nearest: retrain"):
        world.scheduler().delete("retrian")
    assert world.names() == ["retrain"]


def test_delete_fails_and_goes_on_when_called_again():
    world = World()
    world.scheduler().apply(schedule())
    world.wire.fail_at = len(world.wire.calls) + 2  # the CronJob is gone, the row is not
    with pytest.raises(UserInputError):
        world.scheduler().delete("retrain")
    world.scheduler().delete("retrain")
    assert not world.zenml.rows and not world.cluster.jobs


def test_a_schedule_whose_name_begins_another_is_left_alone():
    world = World()
    world.scheduler().apply(schedule(name="retrain-weekly"))
    world.scheduler().apply(schedule())
    world.scheduler().delete("retrain")
    assert world.names() == ["retrain-weekly"]
    assert world.only_job()["spec"] == wanted(schedule())


def test_a_missing_permission_is_named():
    world = World()

    def forbidden(namespace: str) -> None:
        raise refusal(403, "Forbidden", "cronjobs.batch is forbidden")

    world.cluster.list_namespaced_cron_job = forbidden
    with pytest.raises(UserInputError, match="namespace saga: cronjobs.batch is forbidden.*list"):
        world.scheduler().apply(schedule())


def test_the_fake_has_zenmls_update_error():
    """Otherwise the tests above would not show that it is avoided."""
    world = World()
    world.scheduler().apply(schedule())
    (row,) = world.zenml.rows.values()
    world.zenml.update_schedule(row.id, cron_expression="1 1 * * *", active=True)
    assert row.cron_expression == "0 4 * * 0"
    with pytest.raises(ApiException):
        world.cluster.read_namespaced_cron_job("absent", "saga")
