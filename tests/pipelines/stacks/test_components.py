"""Registering a stack: idempotent, brought up to date, used for one run alone."""

import os

import pytest

from pipelines.registry import client
from pipelines.stacks.components import active, apply_stack, choose_store, components
from pipelines.stacks.configuration import load_stack
from saga.errors import UserInputError
from tests.pipelines.stacks import stacks

TYPES = {"orchestrator", "artifact_store", "container_registry", "image_builder"}


def shared(folder, name, **changes):
    return stacks.shared(folder, {"name": name} | changes)


def test_it_is_registered_once_and_then_unchanged(tmp_path):
    stack = shared(tmp_path, "once")
    first = apply_stack(stack)
    assert first.changed and first.components == dict.fromkeys(TYPES, "created")
    again = apply_stack(stack)
    assert not again.changed and again.stack == "unchanged"


def test_what_changed_in_the_file_is_changed_and_nothing_else(tmp_path):
    apply_stack(shared(tmp_path, "moved"))
    done = apply_stack(shared(tmp_path, "moved", **{"cluster.namespace": "other"}))
    assert done.components == dict.fromkeys(TYPES, "unchanged") | {"orchestrator": "updated"}
    (found,) = client().list_stack_components(name="equals:moved", type="orchestrator").items
    assert found.configuration["kubernetes_namespace"] == "other"


def test_what_is_gone_from_the_file_is_gone(tmp_path):
    apply_stack(shared(tmp_path, "gone"))
    apply_stack(shared(tmp_path, "gone", **{"cluster.context": None, "cluster.in_cluster": True}))
    (found,) = client().list_stack_components(name="equals:gone", type="orchestrator").items
    assert "kubernetes_context" not in found.configuration


def test_a_stack_is_used_for_one_run_and_the_active_one_stays(tmp_path):
    stack = shared(tmp_path, "used")
    before = client().active_stack_model.name
    apply_stack(stack)
    assert client().active_stack_model.name == before
    with active(stack):
        assert client().active_stack_model.name == "used"
    assert client().active_stack_model.name == before and "ZENML_ACTIVE_STACK_ID" not in os.environ


def test_a_stack_that_is_not_registered_says_how(tmp_path):
    with (
        pytest.raises(UserInputError, match="saga stack apply"),
        active(shared(tmp_path, "nowhere")),
    ):
        pass


def test_the_local_stack_needs_nothing():
    local = load_stack("local")
    assert not apply_stack(local).changed
    with active(local):
        assert client().active_stack_model.name == "default"


def test_the_token_is_passed_as_a_secret_and_pods_use_no_folder_of_ours(tmp_path):
    orchestrator, store, *_ = components(stacks.stack(tmp_path))
    assert orchestrator.configuration["pass_zenml_token_as_secret"] is True
    assert orchestrator.configuration["local"] is False
    assert (store.flavor, store.configuration) == (
        "s3",
        {"path": "s3://saga-artifacts.example.com"},
    )


def test_a_server_is_chosen_with_the_key_of_its_variable(tmp_path, monkeypatch):
    for name in ("SAGA_ZENML_SERVER", "SAGA_ZENML_API_KEY", "OURS"):
        monkeypatch.setenv(name, "before")
    monkeypatch.setenv("OURS", "key")
    choose_store(stacks.stack(tmp_path, {"server.api_key_variable": "OURS"}))
    assert os.environ["SAGA_ZENML_SERVER"] == "https://zenml.example.com"
    assert os.environ["SAGA_ZENML_API_KEY"] == "key"
