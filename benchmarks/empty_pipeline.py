"""Pipelines of empty steps under ZenML, and the same functions called plainly: prints seconds as JSON.

    python -m benchmarks.empty_pipeline 2 8

Run by benchmarks.pipeline in a process of its own, whose SAGA_HOME is a new folder.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from pipelines.home import use_embedded_zenml


def main() -> None:
    """Run each number of steps once, after a run to warm up."""
    began = time.perf_counter()
    use_embedded_zenml()
    from zenml.client import Client

    _ = Client().active_stack
    ready = time.perf_counter() - began
    first = timed(1)
    found = {str(n): timed(n) for n in map(int, sys.argv[1:])}
    json.dump(
        {
            "import_and_stack": ready,
            "first_run": first,
            "runs": found,
            "plain": {n: plain(int(n)) for n in found},
        },
        sys.stdout,
    )


def timed(steps: int) -> float:
    """Seconds of a pipeline of so many steps, one after the other."""
    pipeline = empty_pipeline()
    began = time.perf_counter()
    pipeline(steps)
    return time.perf_counter() - began


def plain(steps: int) -> float:
    """Seconds of so many calls."""
    began = time.perf_counter()
    for _ in range(steps):
        nothing()
    return time.perf_counter() - began


def nothing() -> None:
    """What each step does."""


def empty_pipeline() -> Callable[[int], Any]:
    """Defined when asked for: nothing may import ZenML before its settings are ours."""
    from zenml import pipeline, step

    empty = step(enable_cache=False)(nothing)

    @pipeline(enable_cache=False)
    def empty_steps(steps: int) -> None:
        after: list[str] = []
        for number in range(steps):
            name = f"nothing_{number}"
            empty(id=name, after=after)
            after = [name]

    return empty_steps


if __name__ == "__main__":
    main()
