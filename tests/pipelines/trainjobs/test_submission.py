"""A TrainJob is made once, found again, and never mistaken for another."""

import pytest

from pipelines.trainjobs.manifest import DIGEST
from pipelines.trainjobs.owner import Owner, owner
from pipelines.trainjobs.submission import delete, look, submitted
from saga.errors import UserInputError
from tests.pipelines.trainjobs.objects import JOBS, NAME, PODS, RUN, step_pod, train_job


def wanted(digest="d"):
    item = train_job()
    item["metadata"] = {"name": NAME, "namespace": "saga", "annotations": {DIGEST: digest}}
    item["spec"]["runtimeRef"] = {"name": "saga"}
    return item


def test_it_is_made_where_there_is_none(api):
    item, again = submitted(api.cluster(), wanted())
    assert not again and item["metadata"]["name"] == NAME
    assert [path for path, _ in api.made] == [JOBS]


def test_a_second_pod_of_the_step_finds_the_first_ones(api):
    api.put(JOBS, train_job(annotations={DIGEST: "d"}))
    item, again = submitted(api.cluster(), wanted())
    assert again and item["metadata"]["uid"] == "u-1" and api.made == []


def test_another_one_of_that_name_is_refused_with_what_to_do(api):
    api.put(JOBS, train_job(annotations={DIGEST: "other"}))
    with pytest.raises(UserInputError, match="asks for something else.*kubectl delete trainjob"):
        submitted(api.cluster(), wanted())
    assert api.made == [] and api.deleted == []


def test_one_made_by_hand_is_none_of_ours(api):
    api.put(JOBS, train_job())
    with pytest.raises(UserInputError, match="digest None, ours d"):
        submitted(api.cluster(), wanted())


@pytest.mark.parametrize(
    ("status", "message", "words"),
    [
        (404, "not found", "Install Kubeflow Trainer"),
        (
            403,
            'User "x" cannot create resource "trainjobs" in API group "trainer.kubeflow.org"',
            "service_accounts.training.*role saga-training",
        ),
        (403, "admission webhook denied the request", "does the runtime saga exist.*webhook"),
        (400, "no", "does the runtime saga exist"),
        (422, "no", "does the runtime saga exist"),
    ],
)
def test_why_it_is_not_taken_is_told(api, status, message, words):
    answer = api.answer
    api.answer = lambda method, path, body: (
        (status, {"message": message, "code": status})
        if method == "POST"
        else answer(method, path, body)
    )
    with pytest.raises(UserInputError, match=words):
        submitted(api.cluster(), wanted())


def test_none_is_none_and_may_be_deleted(api):
    assert look(api.cluster(), NAME) is None
    delete(api.cluster(), NAME)
    assert api.deleted == [f"{JOBS}/{NAME}"]


def test_the_owner_is_the_job_of_the_pod(api):
    api.put(PODS, step_pod())
    assert owner(api.cluster(), "step-1") == Owner(RUN, "train_saga", "saga-1", "j-1")


def test_a_pod_that_is_none_of_a_step_is_refused(api):
    item = step_pod()
    item["metadata"]["ownerReferences"] = []
    api.put(PODS, item)
    with pytest.raises(RuntimeError, match="step-1 is none of a step"):
        owner(api.cluster(), "step-1")
