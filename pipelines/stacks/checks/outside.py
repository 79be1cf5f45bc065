"""What is not of the cluster: the ZenML server, the artifact store, the registry."""

import json
import os
import secrets
import urllib.request
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from pipelines.stacks.checks.finding import Finding
from pipelines.stacks.configuration import KubernetesStack

SECONDS = 10
NO_AUTHENTICATION = "NO_AUTH"
DRIVERS = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}


def server(stack: KubernetesStack) -> Iterator[Finding]:
    """Whether the ZenML server answers, fits, and lets us in."""
    if stack.server is None:
        message = "The embedded database is used: only pods on this machine can reach it."
        yield Finding("server", message, "tells")
        return
    url = stack.server.url
    try:
        told = info(url)
    except OSError as error:
        why = getattr(error, "reason", error)
        yield Finding(
            "server.url", f"{url} does not answer ({why}). Start the server, or correct it."
        )
        return
    except ValueError:
        yield Finding("server.url", f"{url} is not a ZenML server: its answer is not JSON.")
        return
    yield from _server_fits(stack, told if isinstance(told, dict) else {})


def info(url: str) -> Any:
    """What a ZenML server says of itself to everyone.

    Raises:
        OSError: if it does not answer.
        ValueError: if that is not JSON.
    """
    place = f"{url.rstrip('/')}/api/v1/info"
    with urllib.request.urlopen(place, timeout=SECONDS) as answer:
        return json.load(answer)


def _server_fits(stack: KubernetesStack, told: dict[str, Any]) -> Iterator[Finding]:
    assert stack.server is not None
    theirs, ours = str(told.get("version", "unknown")), metadata.version("zenml")
    if theirs != ours:
        yield Finding(
            "server.url",
            f"The server is ZenML {theirs}, here is {ours}: ZenML wants the same on both sides.",
        )
    open_to_all = told.get("auth_scheme") == NO_AUTHENTICATION
    variable = stack.server.api_key_variable
    if open_to_all and stack.server.token_as_secret:
        yield Finding(
            "server.token_as_secret",
            "The server asks for no token, and none can be passed. Set token_as_secret: false and "
            "api_key_variable: null.",
        )
    if not open_to_all and variable is None:
        yield Finding("server.api_key_variable", "The server asks for an API key; name a variable.")
    if not open_to_all and variable is not None and not os.environ.get(variable):
        yield Finding(
            "server.api_key_variable",
            f"The server asks for an API key, but {variable} is not set. Make one: zenml "
            "service-account create NAME; then export it.",
        )


def store(stack: KubernetesStack) -> Iterator[Finding]:
    """Whether a small object can be written, read and deleted."""
    uri = stack.artifact_store.uri
    why = None if uri is None else probed(uri)
    if why is not None:
        yield Finding("artifact_store.uri", f"{uri}: {why}")


def probed(uri: str) -> str | None:
    """Write, read and delete a small object.

    Args:
        uri: of an artifact store: a bucket's, or a folder.

    Returns:
        Why that cannot be done; None if it can.
    """
    name = f"saga-probe-{secrets.token_hex(8)}"
    try:
        if uri.startswith("/"):
            _probe_folder(Path(uri), name)
        else:
            _probe_bucket(uri, name)
    except ImportError as error:
        driver = DRIVERS[uri.partition("://")[0]]
        wanted = '"saga-retrieval[s3]"' if driver == "s3fs" else driver
        return f"it needs {driver} ({error}): pip install {wanted}."
    except Exception as error:  # noqa: BLE001 - each driver raises its own kinds
        return f"a probe could not be written, read and deleted: {_first(error)}"
    return None


def registry(stack: KubernetesStack) -> Iterator[Finding]:
    """Whether the image is the registry's."""
    if not stack.image.startswith(f"{stack.registry.uri.rstrip('/')}/"):
        message = f"{stack.image} is not of the registry {stack.registry.uri}."
        yield Finding("registry.uri", message, "warns")


def _probe_folder(folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / name
    try:
        probe.write_text(name)
        if probe.read_text() != name:
            raise OSError("another content came back")
    finally:
        probe.unlink(missing_ok=True)


def _probe_bucket(uri: str, name: str) -> None:
    import fsspec

    system, root = fsspec.core.url_to_fs(uri)
    path = f"{root.rstrip('/')}/{name}"
    try:
        system.pipe_file(path, name.encode())
        if system.cat_file(path) != name.encode():
            raise OSError("another content came back")
    finally:
        if system.exists(path):
            system.rm_file(path)


def _first(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}{': ' + lines[0] if lines else ''}"
