"""Lines of pods reach the user, each once."""

import pytest

from pipelines.stacks.logs import NOISE, Logs, new_lines
from pipelines.stacks.objects import run_pods
from tests.pipelines.stacks.objects import PODS, RUN, pod


@pytest.mark.parametrize(
    ("before", "now", "new"),
    [
        ([], ["a", "b"], ["a", "b"]),
        (["a"], ["a", "b"], ["b"]),
        (["a", "b"], ["a", "b"], []),
        (["a", "b", "c"], ["b", "c", "d"], ["d"]),  # the end alone is read
        (["a", "a"], ["a", "a", "a"], ["a"]),
        (["a", "b"], ["x", "y"], ["x", "y"]),
        (["a"], [], []),
    ],
)
def test_what_is_new_is_what_follows_the_overlap(before, now, new):
    assert new_lines(before, now) == new


def news(api, logs):
    return logs.news(run_pods(api.cluster(), RUN))


def test_each_line_is_told_once_with_its_step(api):
    api.put(PODS, pod("a-1", "a", "Running", step="train_saga"))
    log = f"{PODS}/a-1/log"
    api.objects[log] = "one\ntwo\n"
    logs = Logs(api.cluster(), RUN)
    assert list(news(api, logs)) == [("train_saga", "one"), ("train_saga", "two")]
    api.objects[log] = "one\ntwo\nthree\n"
    assert list(news(api, logs)) == [("train_saga", "three")]


def test_a_finished_pod_is_read_once_more_and_then_left_alone(api):
    api.put(PODS, pod("a-1", "a", "Succeeded", step="train_saga"))
    api.objects[f"{PODS}/a-1/log"] = "end\n"
    logs = Logs(api.cluster(), RUN)
    assert list(news(api, logs)) == [("train_saga", "end")] and list(news(api, logs)) == []
    assert [path for path, _ in api.asked].count(f"{PODS}/a-1/log") == 1


def test_pods_that_have_not_started_or_are_gone_say_nothing(api):
    api.put(PODS, pod("a-1", "a", step="x"), pod("b-1", "b", "Failed", step="y"))
    assert list(news(api, Logs(api.cluster(), RUN))) == []


def test_the_last_words_are_the_newest_pods(api):
    api.put(
        PODS,
        pod("a-1", "a", "Failed", step="train_saga", at="2026-01-01T00:00:00Z"),
        pod("a-2", "a", "Failed", step="train_saga", at="2026-01-01T00:10:00Z"),
    )
    api.objects[f"{PODS}/a-1/log"] = "old"
    api.objects[f"{PODS}/a-2/log"] = "1\n2\n3"
    assert Logs(api.cluster(), RUN).last_words("train_saga", lines=2) == ["2", "3"]
    assert Logs(api.cluster(), RUN).last_words("mine_pairs") == []


def test_a_cluster_that_is_gone_has_no_last_words(api):
    api.refused[PODS] = 503
    assert Logs(api.cluster(), RUN).last_words("train_saga") == []


def test_what_zenml_says_in_every_pod_is_left_out(api):
    api.put(PODS, pod("a-1", "a", "Running", step="train_saga"))
    api.objects[f"{PODS}/a-1/log"] = f"{NOISE[0]}\none\n"
    assert list(news(api, Logs(api.cluster(), RUN))) == [("train_saga", "one")]
