"""Encoders by model and version, from the embedded ZenML."""

from typing import TYPE_CHECKING, Any

from pipelines.home import home, use_embedded_zenml
from saga.errors import UserInputError

if TYPE_CHECKING:
    from saga.encoders.retriever import Retriever

CANDIDATE = "encoder_saga"
STAGES = ("staging", "production", "latest")


def load_registered_encoder(model: str, version: str) -> "Retriever":
    """The candidate encoder of a model's version or stage; its digests are checked.

    Args:
        model: name under which runs register (`model` in a configuration).
        version: number, or staging, production, latest.

    Raises:
        UserInputError: if there is no such model, version or encoder, or it was altered.
    """
    use_embedded_zenml()
    found = _model_version(model, version)
    artifact = found.get_artifact(CANDIDATE)
    if artifact is None:
        raise UserInputError(
            f"{model}:{version} holds no encoder: its run did not get that far. "
            f"Versions with one: {', '.join(_versions(model)) or 'none'}."
        )
    encoder: Retriever = artifact.load()
    recorded = artifact.run_metadata.get("digest")
    if encoder.digest != recorded:
        raise UserInputError(
            f"The encoder of {model}:{version} is not the one that was registered: its digest is "
            f"{encoder.digest[:12]}, recorded was {str(recorded)[:12]}. Do not use it."
        )
    return encoder


def _model_version(model: str, version: str) -> Any:
    from zenml.client import Client

    if version not in STAGES and not version.isdecimal():
        raise UserInputError(
            f"{model}:{version}: a version is a number or one of {', '.join(STAGES)}."
        )
    try:
        return Client().get_model_version(model, int(version) if version.isdecimal() else version)
    except (KeyError, RuntimeError) as error:
        names = [found.name for found in Client().list_models(size=50).items]
        if model in names:
            allowed = f"Its versions with an encoder: {', '.join(_versions(model)) or 'none'}."
        else:
            allowed = f"Models registered in {home()}: {', '.join(names) or 'none'}."
        raise UserInputError(f"There is no {model}:{version}. {allowed}") from error


def _versions(model: str) -> list[str]:
    from zenml.client import Client

    versions = Client().list_model_versions(model=model, size=50, sort_by="desc:number").items
    return [str(v.number) for v in versions if v.get_artifact(CANDIDATE) is not None]
