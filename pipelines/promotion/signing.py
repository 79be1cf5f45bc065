"""Signatures of encoders with a local key: model-signing, offline.

The files of the encoder's folder are signed, each of them, so that a changed, added, renamed or
removed one is found. The signature lies with the artifacts: signatures/<model id>/<digest>.sig.
"""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.promotion.shelf import Shelf
from pipelines.registry import check_digest, fetched, registered_encoder
from saga.errors import UserInputError

if TYPE_CHECKING:
    from zenml.models import ModelVersionResponse

SUBJECT = "signatures"
INSTALL = "Signing needs model-signing and pyopenssl: install saga with its extra, `signing`."


def sign(version: "ModelVersionResponse", key: Path) -> tuple[str, str]:
    """Sign the encoder of a version.

    Args:
        version: of a model.
        key: private key of an elliptic curve, PEM without a password.

    Returns:
        The encoder's digest, and where the signature lies.

    Raises:
        UserInputError: if the key cannot be used, or the encoder was altered.
    """
    from saga.encoders.retriever import Retriever

    artifact = registered_encoder(version)
    with fetched(artifact) as folder, tempfile.TemporaryDirectory() as temporary:
        digest = Retriever.load(folder).digest
        check_digest(artifact, digest)
        signature = Path(temporary) / "signature"
        try:
            _signing().Config().set_hashing_config(_hashing()).use_elliptic_key_signer(
                private_key=key
            ).sign(folder, signature)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise UserInputError(
                f"{key} cannot sign: {error}. Give a private key that `openssl ecparam -name "
                f"prime256v1 -genkey -noout -out {key.name}` made."
            ) from error
        shelf = Shelf(SUBJECT, version.model.id)
        shelf.write(_file_name(digest), signature.read_text())
        return digest, shelf.path(_file_name(digest))


def signature_problem(
    version: "ModelVersionResponse", digest: str, folder: Path, public_key: Path
) -> str:
    """Why the files of an encoder are not signed with a key, or nothing.

    Args:
        version: that holds the encoder.
        digest: of the encoder.
        folder: with the encoder's files.
        public_key: PEM.

    Raises:
        UserInputError: if the key is no public key.
    """
    verifier = _verifier(public_key)
    shelf = Shelf(SUBJECT, version.model.id)
    if not shelf.holds(_file_name(digest)):
        return (
            f"The policy requires a signature, and the encoder {digest[:12]} has none. "
            f"`saga sign {version.model.name} {version.number} --key KEY` makes one."
        )
    with tempfile.TemporaryDirectory() as temporary:
        signature = Path(temporary) / "signature"
        try:
            signature.write_text(shelf.read(_file_name(digest)))
            verifier.verify(folder, signature)
        except Exception as error:  # noqa: BLE001 - whatever a made-up signature makes it raise
            return (
                f"The signature of the encoder {digest[:12]} is not one by {public_key} over these "
                f"files: {error or type(error).__name__}."
            )
    return ""


def _verifier(public_key: Path) -> Any:
    try:
        from model_signing import verifying
    except ImportError as error:
        raise UserInputError(INSTALL) from error
    try:
        config = verifying.Config().set_hashing_config(_hashing())
        return config.use_elliptic_key_verifier(public_key=public_key)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserInputError(
            f"{public_key}, which the policy names, is no public key of an elliptic curve: {error}."
        ) from error


def _signing() -> Any:
    try:
        from model_signing import signing
    except ImportError as error:
        raise UserInputError(INSTALL) from error
    return signing


def _hashing() -> Any:
    """Every file counts, and no link is followed."""
    from model_signing import hashing

    config = hashing.Config().use_file_serialization()
    return config.set_ignored_paths(paths=[], ignore_git_paths=False).set_allow_symlinks(False)


def _file_name(digest: str) -> str:
    return f"{digest}.sig"
