"""Loads artifacts of a registered version inside a step, so that its lineage shows who used them."""

from typing import Any

from saga.encoders.retriever import Retriever
from saga.supervisors.checkpoint import choose_device


def registered(model: str, version: str, name: str) -> Any:
    """The value of one of a version's artifacts; its digest is checked.

    Raises:
        UserInputError: if there is no such version or artifact, or it was altered.
    """
    from pipelines.registry import client, existing_model, load_checked, model_version
    from saga.errors import UserInputError

    artifact = model_version(existing_model(model), version).get_artifact(name)
    if artifact is None:
        raise UserInputError(f"{model}:{version} holds no {name}: its run did not get that far.")
    # Fetched by its id, ZenML records the step as a consumer.
    return load_checked(client().get_artifact_version(artifact.id))


def registered_encoder(model: str, version: str, device: str) -> Retriever:
    """The encoder of a version, on a device."""
    from pipelines.registry import CANDIDATE

    encoder: Retriever = registered(model, version, CANDIDATE)
    return encoder.to(str(choose_device(device)))
