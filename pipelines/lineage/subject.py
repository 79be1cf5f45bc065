"""MODEL[:VERSION|stage]: whose lineage is asked for. A name that is not registered creates nothing."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.registry import (
    CANDIDATE,
    PAGE,
    PRODUCTION,
    client,
    existing_model,
    in_stage,
    model_version,
    registered_encoder,
)
from saga.errors import UserInputError

if TYPE_CHECKING:
    from zenml.models import ArtifactVersionResponse, ModelResponse, ModelVersionResponse


@dataclass(frozen=True, slots=True)
class Subject:
    """A version of a model, and its encoder."""

    model: "ModelResponse"
    version: "ModelVersionResponse"
    encoder: "ArtifactVersionResponse"

    @property
    def name(self) -> str:
        """model:number."""
        return f"{self.model.name}:{self.version.number}"

    @property
    def digest(self) -> str:
        """Of the encoder, as it was recorded."""
        return str(self.encoder.run_metadata.get("digest") or self.encoder.content_hash)


def find_subject(text: str) -> Subject:
    """The version of that name.

    Args:
        text: "birds:3", "birds:staging"; of "birds" alone what is in production, else the newest
            version with an encoder.

    Raises:
        UserInputError: if there is no such model, version or encoder.
    """
    name, separator, version = text.partition(":")
    if not name or (separator and not version):
        raise UserInputError(
            f"{text!r} is not MODEL[:VERSION|stage]. Give a registered model such as birds, or one "
            "of its versions such as birds:3 or birds:production."
        )
    model = existing_model(name)
    found = model_version(model, version) if version else _usual(model)
    return Subject(model, found, registered_encoder(found))


def _usual(model: "ModelResponse") -> "ModelVersionResponse":
    in_use = in_stage(model, PRODUCTION)
    if in_use:
        return in_use[0]
    page = client().list_model_versions(
        model=model.id, sort_by="desc:number", size=PAGE, hydrate=True
    )
    for version in page.items:
        if version.get_artifact(CANDIDATE) is not None:
            return version
    raise UserInputError(
        f"No version of {model.name} holds an encoder: no run got that far. Run `saga run` first."
    )
