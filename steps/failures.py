"""Keeps the error of a step that failed in this process: ZenML only says which step it was."""

_failures: list[BaseException] = []


def remember(exception: BaseException) -> None:
    """Failure hook of the pipeline."""
    _failures.append(exception)


def forget() -> None:
    """Before a run."""
    _failures.clear()


def last() -> BaseException | None:
    """What stopped the run, if a step in this process did."""
    return _failures[-1] if _failures else None
