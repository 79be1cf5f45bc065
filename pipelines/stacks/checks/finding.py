"""One thing that a check found."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["blocks", "warns", "tells"]
FORBIDDEN, NOT_FOUND, UNAUTHORIZED = 403, 404, 401


@dataclass(frozen=True, slots=True)
class Finding:
    """What is missing or worth knowing, and the setting that it concerns."""

    key: str
    """Dotted, in the stack file."""
    message: str
    """What was found and what to do."""
    level: Level = "blocks"
    """blocks: a run would fail; warns: it may; tells: good to know."""

    def to_dict(self) -> dict[str, str]:
        """Plain values."""
        return {"key": self.key, "level": self.level, "message": self.message}


def told(key: str, what: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """The findings of a check; that it was not allowed to look, or got no answer, is one.

    Args:
        key: setting that it is about.
        what: what it looks at, in words.
        check: the check.
    """
    from kubernetes.client.rest import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield from check()
    except ApiException as error:
        if error.status == FORBIDDEN:
            yield Finding(
                key, f"{what} could not be looked at: you may not. {reason(error)}", "warns"
            )
        else:
            yield Finding(key, f"{what} could not be looked at: {reason(error)}")
    except HTTPError as error:
        yield Finding(key, f"{what} could not be looked at, no answer: {_first(error)}")
    except ValueError as error:  # the client refuses objects that it does not know
        yield Finding(key, f"{what}: an answer was not understood: {_first(error)}", "warns")


def found(read: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What a call answers, or None where the object does not exist.

    Raises:
        ApiException: for any other answer.
    """
    from kubernetes.client.rest import ApiException

    try:
        return read(*arguments, **options)
    except ApiException as error:
        if error.status == NOT_FOUND:
            return None
        raise


def names(read: Callable[[], Any]) -> list[str]:
    """Names of what a list holds; none where we may not look."""
    from kubernetes.client.rest import ApiException

    try:
        return [item.metadata.name for item in read().items]
    except ApiException:
        return []


def reason(error: Any) -> str:
    """An answer of the API server in one line."""
    import json

    try:
        message = json.loads(error.body)["message"]
    except (TypeError, ValueError, KeyError):
        message = error.reason or f"status {error.status}"
    return f"The API server says: {_first(message)}"


def _first(thing: object) -> str:
    lines = str(thing).strip().splitlines()
    return lines[0] if lines else type(thing).__name__
