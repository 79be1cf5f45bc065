"""What is read of the registered models."""

import pytest
from zenml.client import Client

from pipelines.registry import load_registered_encoder, production
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
