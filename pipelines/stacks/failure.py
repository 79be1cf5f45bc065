"""Why a run on a cluster failed, as the error that the step itself would have raised here."""

import re
from collections.abc import Iterable
from typing import Any

from pipelines.stacks.configuration import KubernetesStack
from pipelines.stacks.logs import Logs
from saga import errors
from saga.errors import SagaError, UserInputError

OURS = re.compile(r"^saga\.errors\.(\w+): (.*?)(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)
OTHER_CODE = re.compile(r"^(?:pipelines\.stacks\.pod\.)?OtherCodeError: (.*)$", re.MULTILINE)
NO_PACKAGE = re.compile(r"No module named '(saga|steps|pipelines|materializers|zenml)\b")
BROKEN = ("failed", "retrying", "stopped", "cancelled")


def failure_of(run: Any, stack: KubernetesStack, logs: Logs | None) -> BaseException | None:
    """What stopped a run, or None where it completed.

    Args:
        run: ZenML's run, hydrated.
        stack: where it ran.
        logs: of its pods; None where they cannot be read.
    """
    if str(run.status) == "completed":
        return None
    broken = [(name, step) for name, step in run.steps.items() if str(step.status) in BROKEN]
    broken.sort(
        key=lambda entry: str(entry[1].status) == "stopped"
    )  # what was stopped fell with others
    for name, step in broken:
        told = step.exception_info.traceback if step.exception_info is not None else ""
        words = [] if told or logs is None else logs.last_words(name)
        if told or words:
            return error_of(name, told, words, stack)
    names = ", ".join(name for name, _ in broken) or "no step"
    return RuntimeError(f"the run {run.name} is {run.status}; failed: {names}; no step said why")


def error_of(
    step: str, traceback: str, words: Iterable[str], stack: KubernetesStack
) -> BaseException:
    """The error of a step.

    Args:
        step: its name.
        traceback: as ZenML recorded it; may be empty.
        words: the end of its pod's log.
        stack: where it ran.
    """
    said = traceback or "\n".join(words)
    found = OURS.findall(said)
    if found:
        kind, message = found[-1]
        cls = getattr(errors, kind, SagaError)
        return cls(message.strip()) if issubclass(cls, SagaError) else SagaError(message)
    other = OTHER_CODE.search(said)
    if other:
        return UserInputError(f"image: {other[1].strip()}")
    lacking = NO_PACKAGE.search(said)
    if lacking:
        return UserInputError(
            f"image: {stack.image} does not hold this project (the step {step} found no module "
            f"{lacking[1]}). Build it from infra/docker/Dockerfile."
        )
    lines = said.strip().splitlines()
    error = RuntimeError(f"the step {step} failed: {lines[-1] if lines else 'it said nothing'}")
    error.add_note("\n".join(["The last it said:", *lines[-20:]]))
    return error
