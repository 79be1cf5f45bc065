"""What a pod sees of what a run needs; pipelines.stacks.checks.image starts one to look.

    python -m pipelines.stacks.pod_view '{"server": null, "store": null}'

One line of JSON is the answer. Nothing heavy is imported: the pod is there for a second.
"""

import json
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Any

MARK = "saga-sees "
"""Begins the line of the answer."""
MODULE = "pipelines.stacks.pod_view"
SERVER, STORE = "server", "store"
"""What is asked for: the server's address, and the artifact store's. Null asks for nothing."""


def main(asked: dict[str, Any]) -> str:
    """The line of the answer.

    Args:
        asked: `server` and `store`, each an address or None.
    """
    from pipelines.provenance import code_digest

    problems = [*_cache(), *_server(asked.get(SERVER)), *_store(asked.get(STORE))]
    seen = {
        "code": code_digest(),
        "zenml": metadata.version("zenml"),
        "problems": [{"key": key, "message": message} for key, message in problems],
    }
    return MARK + json.dumps(seen)


def answer(lines: list[str]) -> dict[str, Any] | None:
    """What a pod answered, from the lines of its log; None if it did not."""
    found = [line.removeprefix(MARK) for line in lines if line.startswith(MARK)]
    if not found:
        return None
    seen: dict[str, Any] = json.loads(found[-1])
    return seen


def _cache() -> Iterator[tuple[str, str]]:
    from pipelines.home import home
    from pipelines.stacks.checks.outside import probed

    why = probed(str(home()))
    if why is not None:
        yield "cache", f"Pods cannot write to {home()}: {why}"


def _server(url: str | None) -> Iterator[tuple[str, str]]:
    from pipelines.stacks.checks.outside import info

    if url is None:
        return
    try:
        info(url)
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", error)
        yield "server.url", f"Pods get no answer from {url} ({why}): name, route, network policy?"


def _store(uri: str | None) -> Iterator[tuple[str, str]]:
    from pipelines.stacks.checks.outside import probed

    if uri is None:
        return
    why = probed(uri)
    if why is not None:
        yield "artifact_store.uri", f"Pods cannot write, read and delete in {uri}: {why}"


if __name__ == "__main__":
    sys.stdout.write(main(json.loads(sys.argv[1])) + "\n")
