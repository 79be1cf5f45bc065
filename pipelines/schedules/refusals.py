"""What a cluster or ZenML's server said no to, in words for the user."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from saga.errors import SagaError, UserInputError

PERMISSIONS = (
    "cronjobs: get, list, create, patch, delete; secrets: create, patch; jobs: get, create"
)


@contextmanager
def explained(namespace: str) -> Iterator[None]:
    """Turn what the Kubernetes client and ZenML raise into messages.

    Raises:
        UserInputError: if the cluster cannot be reached, or refuses.
    """
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except SagaError:
        raise
    except ApiException as error:
        raise UserInputError(_refused(error, namespace)) from error
    except HTTPError as error:
        raise UserInputError(
            f"The cluster cannot be reached: {error}. `saga stack check` says what is missing."
        ) from error
    except Exception as error:
        # ZenML wraps the cluster's words when it submits; known by its name, to import nothing.
        if type(error).__name__ != "PipelineSubmissionError":
            raise
        raise UserInputError(str(error)) from error


def _refused(error: "Exception", namespace: str) -> str:
    """An answer with a status of 400 or more."""
    status, reason = getattr(error, "status", None), getattr(error, "reason", "")
    said = _message(getattr(error, "body", None)) or reason
    if status in (401, 403):
        return (
            f"The cluster does not allow it in the namespace {namespace}: {said}. A submitter needs "
            f"{PERMISSIONS}."
        )
    return f"The cluster refused ({status} {reason}): {said}."


def _message(body: object) -> str:
    try:
        return str(json.loads(str(body))["message"]).rstrip(".")
    except (ValueError, LookupError, TypeError):
        return ""
