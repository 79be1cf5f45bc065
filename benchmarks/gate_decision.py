"""What a gate decision costs on large data: search, NMI, diagnostics, other metrics, the gates.

    python -m benchmarks.gate_decision --json gate_decision.json
    python -m benchmarks.gate_decision --queries 6000

A candidate and a baseline on random embeddings with 59 or 60 images a class, judged by
configs/gates/default.yaml. Each size runs once, in a process of its own; prints JSON. Seconds are wall
and CPU seconds of this machine and of no other; peak memory is the process' so far, libraries and
embeddings included.
"""

import argparse
import json
import multiprocessing
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd

from saga.files import write_json
from saga.gates.gates import decide
from saga.gates.policy import GatePolicy
from saga.retrieval import metrics
from saga.retrieval.configuration import RetrievalConfig
from saga.retrieval.measurements import Measurements
from saga.retrieval.report import RetrievalReport

POLICY = Path(__file__).parents[1] / "configs/gates/default.yaml"
QUERIES, WIDTH, CLASS_SIZE = (6_000, 37_000), 4096, 59
NOISE = {"candidate": 5.0, "baseline": 5.2}
"""Length of the noise on a class's unit vector."""


@dataclass
class Stopwatch:
    """Seconds by phase; what runs inside a phase counts for the inner one alone."""

    wall: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    cpu: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    peak: dict[str, int] = field(default_factory=dict)
    _open: list[str] = field(default_factory=list)
    _since: tuple[float, float] = (0.0, 0.0)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a block."""
        self._switch()
        self._open.append(name)
        try:
            yield
        finally:
            self._switch()
            self._open.pop()
            self.peak[name] = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def _switch(self) -> None:
        now = (time.perf_counter(), time.process_time())
        if self._open:
            self.wall[self._open[-1]] += now[0] - self._since[0]
            self.cpu[self._open[-1]] += now[1] - self._since[1]
        self._since = now

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function whose calls are a phase."""

        def call(*args: Any, **settings: Any) -> Any:
            with self.phase(name):
                return function(*args, **settings)

        return call

    def timed_chunks(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A generator function whose own work is a phase, and not what is done with its chunks."""

        def call(*args: Any, **settings: Any) -> Iterator[Any]:
            chunks, done = function(*args, **settings), object()
            while True:
                with self.phase(name):
                    chunk = next(chunks, done)
                if chunk is done:
                    return
                yield chunk

        return call

    def table(self) -> dict[str, dict[str, float]]:
        """By phase."""
        return {
            name: {
                "wall_seconds": round(self.wall[name], 2),
                "cpu_seconds": round(self.cpu[name], 2),
                "peak_memory_bytes_so_far": self.peak[name],
            }
            for name in self.wall
        }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="file to write")
    parser.add_argument("--queries", type=int, nargs="+", default=QUERIES)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    results = []
    for queries in options.queries:
        with context.Pool(1) as fresh:  # so that its peak memory is its own
            results.append(fresh.apply(measure, (queries,)))
    found = {"width": WIDTH, "class_size": CLASS_SIZE, "sizes": results}
    if options.json:
        write_json(options.json, found)
    print(json.dumps(found, indent=2))  # noqa: T201 - what the benchmark is for


def measure(queries: int) -> dict[str, Any]:
    """Phases of evaluating two encoders and of deciding."""
    import torch

    watch, frame = Stopwatch(), _frame(queries)
    nmi, diagnostics = metrics.normalized_mutual_information, metrics.embedding_diagnostics
    with (
        patch.object(metrics, "search_chunks", watch.timed_chunks("search", metrics.search_chunks)),
        patch.object(metrics, "normalized_mutual_information", watch.timed("nmi", nmi)),
        patch.object(metrics, "embedding_diagnostics", watch.timed("diagnostics", diagnostics)),
    ):
        reports = {}
        for role in NOISE:
            reports[role] = _report(role, frame, watch)
            told = f"{queries} queries, {role} evaluated: {json.dumps(watch.table())}"
            print(told, file=sys.stderr, flush=True)  # noqa: T201 - a large size takes long
    measured = Measurements("candidate", "candidate", {"reload_agreement": 1.0})
    with watch.phase("decide"):
        policy = GatePolicy.load(POLICY)
        decision = decide(
            policy,
            reports["candidate"],
            {"baseline": reports["baseline"], "production": reports["baseline"]},
            {"candidate": measured},
        )
    return {
        "queries": len(frame),
        "classes": int(frame["class_id"].nunique()),
        "threads": torch.get_num_threads(),
        "recall_at_1": {role: r.metrics["recall_at_1"] for role, r in reports.items()},
        "status": str(decision.status),
        "phases_of_both_encoders": watch.table(),
        "wall_seconds": round(sum(watch.wall.values()), 2),
        "cpu_seconds": round(sum(watch.cpu.values()), 2),
    }


def _frame(queries: int) -> pd.DataFrame:
    classes = np.arange(queries) % (queries // CLASS_SIZE)
    return pd.DataFrame(
        {
            "image_id": [f"image-{i:06d}" for i in range(queries)],
            "class_id": classes,
            "class_name": [f"class {c}" for c in classes],
        }
    )


def _report(role: str, frame: pd.DataFrame, watch: Stopwatch) -> RetrievalReport:
    """Of random embeddings; the same class centres for every role."""
    classes = frame["class_id"].to_numpy()
    centres = np.random.default_rng(0).standard_normal((classes.max() + 1, WIDTH), np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    noise = np.random.default_rng(len(role)).standard_normal((len(frame), WIDTH), np.float32)
    noise *= NOISE[role] / np.float32(np.sqrt(WIDTH))
    noise += centres[classes]
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    with watch.phase("other metrics"):
        return metrics.evaluate_embeddings(
            noise, frame, RetrievalConfig(), name=role, encoder_digest=role, dataset_digest="made"
        )


if __name__ == "__main__":
    main()
