"""What is not of the cluster: the ZenML server, the artifact store, the image."""

import json
import os
import secrets
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from pipelines.stacks.checks.finding import Finding
from pipelines.stacks.configuration import IMAGE, KubernetesStack

SECONDS = 10
NO_AUTHENTICATION = "NO_AUTH"
DRIVERS = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}


def server(stack: KubernetesStack) -> Iterator[Finding]:
    """Whether the ZenML server answers, fits, and lets us in."""
    if stack.server is None:
        message = "The embedded database is used: only pods on this machine can reach it."
        yield Finding("server", message, "tells")
        return
    url = f"{stack.server.url.rstrip('/')}/api/v1/info"
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:
            info = json.load(answer)
    except (urllib.error.URLError, OSError) as error:
        why = getattr(error, "reason", error)
        yield Finding(
            "server.url", f"{url} does not answer ({why}). Start the server, or correct it."
        )
        return
    except ValueError:
        yield Finding("server.url", f"{url} is not a ZenML server: its answer is not JSON.")
        return
    yield from _server_fits(stack, info if isinstance(info, dict) else {})


def _server_fits(stack: KubernetesStack, info: dict[str, Any]) -> Iterator[Finding]:
    assert stack.server is not None
    theirs, ours = str(info.get("version", "unknown")), metadata.version("zenml")
    if theirs != ours:
        yield Finding(
            "server.url",
            f"The server is ZenML {theirs}, here is {ours}: ZenML wants the same on both sides.",
        )
    open_to_all = info.get("auth_scheme") == NO_AUTHENTICATION
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
    if uri is None:
        return
    key, name = "artifact_store.uri", f"saga-probe-{secrets.token_hex(8)}"
    try:
        if stack.artifact_store.is_folder:
            _probe_folder(Path(uri), name)
        else:
            _probe_bucket(uri, name)
    except ImportError as error:
        driver = DRIVERS[uri.partition("://")[0]]
        wanted = '"saga-retrieval[s3]"' if driver == "s3fs" else driver
        yield Finding(key, f"{uri} needs {driver} ({error}): pip install {wanted}.")
    except Exception as error:  # noqa: BLE001 - each driver raises its own kinds
        yield Finding(
            key, f"{uri}: a probe could not be written, read and deleted: {_first(error)}"
        )


def image(stack: KubernetesStack) -> Iterator[Finding]:
    """What an image's name tells; that it holds saga is seen only when a pod starts."""
    found = IMAGE.fullmatch(stack.image)
    assert found is not None, "the stack file was read strictly"
    pinned = found["digest"] is not None
    moves = "" if pinned else " Its tag can be moved; @sha256:DIGEST cannot."
    yield Finding(
        "image",
        f"{stack.image} was not pulled: that it exists and holds this version of saga is seen when "
        f"the first pod starts, which otherwise ends with exit code 2.{moves}",
        "tells",
    )
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
