"""What is read of the registered models."""

from types import SimpleNamespace

import pytest
from zenml.artifacts import utils
from zenml.client import Client
from zenml.enums import StackComponentType

from pipelines import registry
from pipelines.registry import load_registered_encoder, production
from pipelines.stacks.components import ACTIVE
from saga.errors import RefusedError, UserInputError
from tests.pipelines.promotion.made import encoder, register


def test_a_model_without_production_has_none(model):
    register(model, 1)
    assert production(model) is None


def test_production_is_what_the_database_says_now(saga, promoted):
    artifact = production(promoted.model).artifact_id
    assert Client().get_artifact_version(artifact).load().digest == promoted.encoder_digest
    Client().get_model_version(promoted.model, 1).set_stage("archived", force=True)
    assert production(promoted.model) is None


def test_a_version_in_production_without_an_encoder_is_refused(model):
    register(model, 1, without=("encoder_saga",))
    Client().get_model_version(model, 1).set_stage("production")
    with pytest.raises(RefusedError, match="holds no encoder"):
        production(model)


@pytest.mark.parametrize("version", ["1", "production", "latest"])
def test_encoders_are_loaded_by_number_and_stage(promoted, version):
    assert load_registered_encoder(promoted.model, version).digest == encoder(1).digest


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("2", "Its versions with an encoder: 1"),
        ("staging", "There is no"),
        ("newest", "a number or one of staging, production, latest"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(promoted, version, message):
    with pytest.raises(UserInputError, match=message):
        load_registered_encoder(promoted.model, version)


def test_the_beginning_of_a_name_is_not_a_name(promoted):
    with pytest.raises(UserInputError, match=f"Did you mean {promoted.model[:3]}"):
        load_registered_encoder(promoted.model[:-1], "1")
    assert production(promoted.model[:-1]) is None


@pytest.mark.parametrize(
    ("elsewhere", "asked"),
    [({}, 0), ({"SAGA_IN_POD": "1"}, 1), ({"SAGA_ZENML_SERVER": "http://x"}, 1)],
)
def test_pods_and_clients_of_a_server_need_no_folder_to_find_a_model(
    monkeypatch, tmp_path, elsewhere, asked
):
    """Or the first pod on an empty cache would find nothing in production, and gates would open."""
    names: list[str] = []

    def list_models(name, hydrate):
        names.append(name)
        return SimpleNamespace(items=[])

    monkeypatch.setenv("SAGA_HOME", str(tmp_path))
    for variable, value in elsewhere.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(registry, "client", lambda: SimpleNamespace(list_models=list_models))
    assert production("birds") is None
    assert len(names) == asked


@pytest.fixture
def made_elsewhere(model, tmp_path, monkeypatch):
    """Version 1, whose artifacts lie in the store of a stack that is not active any more."""
    client, kind = Client(), StackComponentType
    store = {"path": str(tmp_path / "store")}
    made = client.create_stack_component(f"{model}-store", "local", kind.ARTIFACT_STORE, store)
    (runs_here,) = client.active_stack_model.components[kind.ORCHESTRATOR]
    parts = {kind.ARTIFACT_STORE: made.id, kind.ORCHESTRATOR: runs_here.id}
    with monkeypatch.context() as other:
        other.setenv(ACTIVE, str(client.create_stack(f"{model}-stack", parts).id))
        version = register(model, 1)
    assert all(uri.startswith(store["path"]) for uri in version.uris.values())
    assert client.active_stack.artifact_store.id != made.id
    return version


def test_a_version_is_read_from_the_store_that_it_lies_in(saga, model, made_elsewhere):
    assert load_registered_encoder(model, "1").digest == made_elsewhere.encoder_digest
    artifact = Client().get_model_version(model, 1).get_artifact("encoder_saga")
    with registry.fetched(artifact) as folder:
        names = {path.name for path in folder.rglob("*") if path.is_file()}
        assert "weights.safetensors" in names
    said = saga("promote", model, 1, "--to", "production")
    assert said.code == 0, said.err
    assert production(model).digest == made_elsewhere.encoder_digest


def test_a_store_that_cannot_be_used_from_here_is_told(saga, model, made_elsewhere, monkeypatch):
    def without_its_package(identity):
        raise NotImplementedError("install s3fs")

    monkeypatch.setattr(utils, "load_artifact_store", without_its_package)
    with pytest.raises(UserInputError, match="another artifact store .* install s3fs"):
        load_registered_encoder(model, "1")
    said = saga("promote", model, 1, "--to", "production")
    assert said.code == 3 and said.err.count("install s3fs") == 3
