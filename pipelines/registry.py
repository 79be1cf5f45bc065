"""Encoders by model and version, from the embedded ZenML.

Everything here reads; a name that is not registered creates nothing. Models are found by their
exact name, because ZenML's own look-up takes a prefix (`bird` would find `birds`) and creates what
a `Model(name)` does not find.
"""

import difflib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pipelines.home import IN_POD, SERVER, embedded_folder, home, use_embedded_zenml
from saga.errors import RefusedError, UserInputError

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore
    from zenml.client import Client
    from zenml.models import ArtifactVersionResponse, ModelResponse, ModelVersionResponse

    from saga.encoders.retriever import Retriever

CANDIDATE, MANIFEST, DECISION = "encoder_saga", "manifest", "decision"
PRODUCTION, STAGING, ARCHIVED = "production", "staging", "archived"
STAGES = (STAGING, PRODUCTION, "latest")
PAGE = 100
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Live:
    """The version of a model that is in use."""

    version: int
    digest: str
    """Of its encoder, as it was recorded when the encoder was registered."""
    artifact_id: str
    """Of its encoder, in ZenML."""
    embedding_dim: int
    """Width E of its vectors."""


def production(model: str) -> Live | None:
    """What is in production now; None where nothing is, or there is no such model.

    Raises:
        RefusedError: if more than one version is in production, or the one there has no encoder.
    """
    found = find_model(model)
    return None if found is None else live(found, PRODUCTION)


def live(model: "ModelResponse", stage: str) -> Live | None:
    """What a stage holds, or None.

    Raises:
        RefusedError: if the stage holds more than one version, or one without an encoder.
    """
    versions = in_stage(model, stage)
    if not versions:
        return None
    if len(versions) > 1:
        numbers = " and ".join(str(v.number) for v in versions)
        raise RefusedError(
            f"Versions {numbers} of {model.name} are in {stage} at once; it was not `saga promote` "
            f"that put them there. `saga rollback {model.name} --to VERSION` leaves one that the "
            "audit knows; otherwise archive all but one in ZenML."
        )
    found = described(versions[0])
    if found is None:
        raise RefusedError(
            f"{model.name}:{versions[0].number} is in {stage} and holds no encoder, so nothing can "
            f"be compared with it. It was not `saga promote` that put it there."
        )
    return found


def described(version: "ModelVersionResponse") -> Live | None:
    """A version and its encoder as they were recorded; None where it holds no encoder."""
    encoder = version.get_artifact(CANDIDATE)
    if encoder is None:
        return None
    facts = encoder.run_metadata
    width = int(str(facts.get("embedding_dim", 0)))
    return Live(version.number, str(facts.get("digest")), str(encoder.id), width)


def live_encoder(found: Live) -> "Retriever":
    """The encoder of what is in production; its digest is checked.

    Inside a step, ZenML records the step as a consumer of it.

    Raises:
        UserInputError: if it was altered.
    """
    encoder: Retriever = load_checked(client().get_artifact_version(UUID(found.artifact_id)))
    return encoder


def load_registered_encoder(model: str, version: str) -> "Retriever":
    """The candidate encoder of a model's version or stage; its digests are checked.

    Args:
        model: name under which runs register (`model` in a configuration).
        version: number, or staging, production, latest.

    Raises:
        UserInputError: if there is no such model, version or encoder, or it was altered.
    """
    artifact = registered_encoder(model_version(existing_model(model), version))
    encoder: Retriever = load_checked(artifact)
    return encoder


def registered_encoder(version: "ModelVersionResponse") -> "ArtifactVersionResponse":
    """The candidate encoder of a version, not loaded.

    Raises:
        UserInputError: if its run did not get that far.
    """
    artifact = version.get_artifact(CANDIDATE)
    if artifact is None:
        raise UserInputError(
            f"{version.model.name}:{version.number} holds no encoder: its run did not get that "
            f"far. Versions with one: {', '.join(_with_encoder(version.model)) or 'none'}."
        )
    return artifact


def load_checked(artifact: "ArtifactVersionResponse") -> Any:
    """The value of an artifact whose type has a digest.

    Raises:
        UserInputError: if it was altered, is another one than was registered, or its store cannot be
            used from here.
    """
    store_of(artifact)
    value = artifact.load()
    check_digest(artifact, value.digest)
    return value


def check_digest(artifact: "ArtifactVersionResponse", digest: str) -> None:
    """Compare with what was recorded when the artifact was registered.

    Raises:
        UserInputError: if it is another.
    """
    recorded = artifact.run_metadata.get("digest")
    if digest != recorded:
        raise UserInputError(
            f"The artifact {artifact.name} (version {artifact.version}) is not the one that was "
            f"registered: its digest is {digest[:12]}, recorded was {str(recorded)[:12]}. "
            "Do not use it."
        )


@contextmanager
def fetched(artifact: "ArtifactVersionResponse") -> Iterator[Path]:
    """The files of an artifact of ours in a temporary folder, for as long as the block runs.

    Raises:
        UserInputError: if the artifact's store is gone, or cannot be used from here.
    """
    from materializers.folder import CONTENT

    store = store_of(artifact)
    root = os.path.join(artifact.uri, CONTENT)
    with tempfile.TemporaryDirectory(prefix="saga-") as temporary:
        folder = Path(temporary) / "encoder"
        folder.mkdir()
        for parent, _, names in store.walk(root):
            here = folder / os.path.relpath(str(parent), root)
            here.mkdir(parents=True, exist_ok=True)
            for name in map(str, names):
                with (
                    store.open(os.path.join(str(parent), name), "rb") as source,
                    open(here / name, "wb") as target,
                ):
                    shutil.copyfileobj(source, target, CHUNK_BYTES)
        yield folder


def store_of(artifact: "ArtifactVersionResponse") -> "BaseArtifactStore":
    """The store that holds an artifact, whichever stack is active.

    Raises:
        UserInputError: if it is gone, or what it needs is not installed here.
    """
    active = client().active_stack.artifact_store
    if artifact.artifact_store_id in (None, active.id):
        return active
    from zenml.artifacts.utils import load_artifact_store
    from zenml.exceptions import DoesNotExistException

    try:
        return load_artifact_store(artifact.artifact_store_id)
    except (DoesNotExistException, NotImplementedError) as error:
        raise UserInputError(
            f"The artifact {artifact.name} (version {artifact.version}) lies in another artifact "
            f"store than the active stack's, and that one cannot be used from here: {error}"
        ) from error


def client() -> "Client":
    """ZenML's client on our database."""
    use_embedded_zenml()
    _start(home())
    from zenml.client import Client

    return Client()


@cache
def _start(ours: Path) -> None:
    """Open the database, once in a process.

    Processes that start at the same moment take turns: ZenML rewrites its configuration file at
    each start, and another process would read it half-written.
    """
    from filelock import FileLock

    locks = ours / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / "start.lock"):
        from zenml.client import Client

        _ = Client().active_stack


def find_model(name: str) -> "ModelResponse | None":
    """The model of exactly this name, or None; creates nothing, not even the database."""
    if not _has_database():
        return None
    found = client().list_models(name=f"equals:{name}", hydrate=True).items
    return found[0] if found else None


def existing_model(name: str) -> "ModelResponse":
    """The model of exactly this name.

    Raises:
        UserInputError: if there is none, naming those that there are.
    """
    found = find_model(name)
    if found is not None:
        return found
    names = _model_names()
    near = difflib.get_close_matches(name, names, n=1)
    raise UserInputError(
        f"There is no model {name}.{f' Did you mean {near[0]}?' if near else ''} "
        f"Models registered in {home()}: {', '.join(names) or 'none'}."
    )


def model_version(model: "ModelResponse", version: str) -> "ModelVersionResponse":
    """A version by its number or stage.

    Raises:
        UserInputError: if there is none, or a stage holds several.
    """
    if version not in STAGES and not version.isdecimal():
        raise UserInputError(
            f"{model.name}:{version}: a version is a number or one of {', '.join(STAGES)}."
        )
    try:
        wanted = int(version) if version.isdecimal() else version
        return client().get_model_version(model.id, wanted)
    except (KeyError, RuntimeError, OverflowError) as error:
        allowed = ", ".join(_with_encoder(model)) or "none"
        raise UserInputError(
            f"There is no {model.name}:{version}. Its versions with an encoder: {allowed}."
        ) from error


def in_stage(model: "ModelResponse", stage: str) -> list["ModelVersionResponse"]:
    """Versions in a stage, newest first; more than one only where it was set by other means."""
    page = client().list_model_versions(
        model=model.id, stage=stage, sort_by="desc:number", size=PAGE, hydrate=True
    )
    return list(page.items)


def _has_database() -> bool:
    """Whether anything was ever registered; a server has its database, wherever we are."""
    elsewhere = os.environ.get(SERVER) or os.environ.get(IN_POD)
    return bool(elsewhere) or embedded_folder().is_dir()


def _model_names() -> list[str]:
    if not _has_database():
        return []
    return [found.name for found in client().list_models(size=PAGE).items]


def _with_encoder(model: "ModelResponse") -> list[str]:
    page = client().list_model_versions(model=model.id, size=50, sort_by="desc:number")
    return [str(v.number) for v in page.items if v.get_artifact(CANDIDATE) is not None]
