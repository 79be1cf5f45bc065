"""Recall@{1, 2, 4, 8} and NMI, against pytorch-metric-learning and against the bare matrix product.

    python -m benchmarks.retrieval --json retrieval.json
    python -m benchmarks.retrieval --sizes 6000x4096 --rounds 5

For each size (images × embedding width), in turns and each run in a process of its own that has
made the same embeddings and done the work once on a small set:

- `saga`: exact search for 8 neighbours, Recall@K, NMI;
- `saga_search_only`: the search alone;
- `saga_report`: a whole evaluation, with MAP@R, intervals, diagnostics and each query's outcome;
- `pytorch_metric_learning`: AccuracyCalculator with k = 8, precision_at_1 (its Recall@1) and NMI. It
  has no Recall@K for K > 1, so it computes less. Once a size unless --pml-rounds says otherwise;
- `matmul_topk`: chunks of queries times the gallery and `torch.topk` of 9, no metric.

`ratios` holds the opponent's time over ours (`saga`), the smallest over the sizes; `seconds` are
those of the fastest run, since whatever else the machine does only slows it down, and `runs` holds
them all. Wanted: `vs_pytorch_metric_learning` ≥ 5, and `vs_matmul_topk` ≥ 0.77, which is ours at 1.3
times the bare product. `cpu_ratios` are those of CPU seconds of all threads, which other work on the
machine moves less. NMI rests on the same seed in both libraries, so both should find the same.

The embeddings: 59 or so unit vectors a class; classes and the noise within them share a spectrum
that falls off, as embeddings have it, so that images are mistaken for others. Peak memory is how
much the process grew.
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from saga.files import write_json
from saga.retrieval.configuration import REPORTED_KS, RetrievalConfig
from saga.retrieval.metrics import evaluate_embeddings
from saga.retrieval.nmi import normalized_mutual_information
from saga.retrieval.search import search

SIZES = ("6000x4096", "37000x512", "37000x4096")
CLASS_SIZE, NOISE, MADE_AT_ONCE = 59, 1.5, 4096
CHUNK, SEED = 1024, 1234
"""Queries at once, and the seed of k-means that pytorch-metric-learning leaves as FAISS has it."""
WARM_UP = 4 * CLASS_SIZE
OURS, PML, PRODUCT = "saga", "pytorch_metric_learning", "matmul_topk"
Result = dict[str, float]


class Size(NamedTuple):
    """Of a set of embeddings."""

    images: int
    width: int

    @classmethod
    def parse(cls, text: str) -> "Size":
        """From images × width, as in 6000x4096."""
        images, _, width = text.partition("x")
        if not (images.isdigit() and width.isdigit()) or int(images) < WARM_UP:
            raise argparse.ArgumentTypeError(
                f"{text} is not a size: write images x width, at least {WARM_UP} images: 6000x4096"
            )
        return cls(int(images), int(width))

    def __str__(self) -> str:
        return f"{self.images}x{self.width}"


def made_embeddings(size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors in random order of classes, and the class of each."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(size.images) % (size.images // CLASS_SIZE))
    spectrum = (1 + np.arange(size.width, dtype=np.float32)) ** -0.5
    centres = rng.standard_normal((labels.max() + 1, size.width), np.float32)
    embeddings = rng.standard_normal(size, np.float32)
    for start in range(0, size.images, MADE_AT_ONCE):
        part = embeddings[start : start + MADE_AT_ONCE]
        part *= NOISE
        part += centres[labels[start : start + MADE_AT_ONCE]]
        part *= spectrum
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return embeddings, labels


def by_saga(embeddings: np.ndarray, labels: np.ndarray) -> Result:
    """Recall@K and NMI."""
    near = search(embeddings, embeddings, REPORTED_KS[-1], exclude_self=True, chunk=CHUNK)
    right = labels[near.indices] == labels[:, None]
    recalls = {f"recall_at_{K}": float(right[:, :K].any(axis=1).mean()) for K in REPORTED_KS}
    return recalls | {"nmi": normalized_mutual_information(embeddings, labels, SEED)}


def by_saga_search_only(embeddings: np.ndarray, labels: np.ndarray) -> Result:
    """The neighbours alone."""
    search(embeddings, embeddings, REPORTED_KS[-1], exclude_self=True, chunk=CHUNK)
    return {}


def by_saga_report(embeddings: np.ndarray, labels: np.ndarray) -> Result:
    """All that an evaluation holds."""
    names = np.arange(len(labels)).astype(str)
    frame = pd.DataFrame({"image_id": names, "class_id": labels, "class_name": labels.astype(str)})
    report = evaluate_embeddings(
        embeddings,
        frame,
        RetrievalConfig(chunk=CHUNK, nmi_seed=SEED),
        name="made",
        encoder_digest="made",
        dataset_digest="made",
    )
    return dict(report.metrics)


def by_pytorch_metric_learning(embeddings: np.ndarray, labels: np.ndarray) -> Result:
    """Recall@1, which it calls precision_at_1, and NMI."""
    import torch
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    calculator = AccuracyCalculator(
        include=("precision_at_1", "NMI"), k=REPORTED_KS[-1], device=torch.device("cpu")
    )
    found = calculator.get_accuracy(torch.from_numpy(embeddings), torch.from_numpy(labels))
    return {"recall_at_1": found["precision_at_1"], "nmi": found["NMI"]}


def by_matmul_topk(embeddings: np.ndarray, labels: np.ndarray) -> Result:
    """The product and top-k, a query's own position among them."""
    import torch

    gallery = torch.from_numpy(embeddings)
    for queries in gallery.split(CHUNK):
        (queries @ gallery.T).topk(REPORTED_KS[-1] + 1)
    return {}


CONTENDERS: dict[str, Callable[[np.ndarray, np.ndarray], Result]] = {
    OURS: by_saga,
    PRODUCT: by_matmul_topk,
    "saga_search_only": by_saga_search_only,
    "saga_report": by_saga_report,
    PML: by_pytorch_metric_learning,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    options = _options(arguments)
    if options.threads:
        os.environ["OMP_NUM_THREADS"] = str(options.threads)  # of torch, FAISS and OpenBLAS alike
    names = (OURS, PRODUCT, PML) if options.brief else CONTENDERS
    rounds = dict.fromkeys(names, options.rounds) | {PML: options.pml_rounds}
    cases = [compare(size, rounds) for size in options.sizes]
    report = {
        "environment": _in_a_fresh_process(_environment),
        "k": REPORTED_KS[-1],
        "chunk": CHUNK,
        "cases": cases,
        "ratios": _smallest([case["ratios"] for case in cases]),
        "cpu_ratios": _smallest([case["cpu_ratios"] for case in cases]),
    }
    _tell(_table(cases))
    print(json.dumps(report, indent=2))  # noqa: T201 - what the benchmark is for
    if options.json is not None:
        write_json(options.json, report)


def compare(size: Size, rounds: dict[str, int]) -> dict[str, Any]:
    """All contenders in turns on one set of embeddings.

    Args:
        size: of the set.
        rounds: runs of each contender.
    """
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in rounds}
    for number in range(max(rounds.values())):
        for name in rounds:
            if number < rounds[name]:
                run = _in_a_fresh_process(measure, name, size)
                runs[name].append(run)
                _tell(f"{size} {name} {number + 1}: {run['seconds']:.2f} s")
    seconds = {name: min(r["seconds"] for r in done) for name, done in runs.items()}
    cpu_seconds = {name: min(r["cpu_seconds"] for r in done) for name, done in runs.items()}
    ours, theirs = runs[OURS][0]["result"], runs[PML][0]["result"]
    return {
        "size": str(size),
        "images": size.images,
        "width": size.width,
        "classes": size.images // CLASS_SIZE,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "ratios": _ratios(seconds),
        "cpu_ratios": _ratios(cpu_seconds),
        "peak_memory_bytes": {n: max(r["peak_memory_bytes"] for r in d) for n, d in runs.items()},
        "similarity_matrix_bytes": 4 * size.images**2,
        "results": {name: done[0]["result"] for name, done in runs.items()},
        "queries_right_more_than_theirs": round(
            (ours["recall_at_1"] - theirs["recall_at_1"]) * size.images
        ),
        "nmi_more_than_theirs": ours["nmi"] - theirs["nmi"],
        "runs": {name: [r["seconds"] for r in done] for name, done in runs.items()},
    }


def measure(name: str, size: Size) -> dict[str, Any]:
    """One run of a contender: seconds, CPU seconds, peak memory, result."""
    from benchmarks.machine import peak_memory

    contender = CONTENDERS[name]
    embeddings, labels = made_embeddings(size)
    contender(*made_embeddings(Size(WARM_UP, min(size.width, 64))))
    with peak_memory("cpu") as peak:
        wall, cpu = time.perf_counter(), time.process_time()
        result = contender(embeddings, labels)
        spent = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "seconds": spent[0],
        "cpu_seconds": spent[1],
        "peak_memory_bytes": peak.bytes,
        "result": result,
    }


def _in_a_fresh_process(function: Callable[..., Any], *arguments: Any) -> Any:
    with multiprocessing.get_context("spawn").Pool(1) as fresh:
        return fresh.apply(function, arguments)


def _environment() -> dict[str, Any]:
    from benchmarks.machine import where

    return where("cpu")


def _ratios(seconds: dict[str, float]) -> dict[str, float]:
    return {f"vs_{name}": seconds[name] / seconds[OURS] for name in (PML, PRODUCT)}


def _smallest(ratios: list[dict[str, float]]) -> dict[str, float]:
    return {name: min(r[name] for r in ratios) for name in ratios[0]}


def _table(cases: list[dict[str, Any]]) -> str:
    names = list(cases[0]["seconds"])
    lines = [f"{'':>12}" + "".join(f"{name:>25}" for name in names)]
    for case in cases:
        cells = (f"{case['seconds'][name]:>23.2f} s" for name in names)
        lines.append(f"{case['size']:>12}" + "".join(cells))
        lines.append(f"{'':>12}" + ", ".join(f"{n} {r:.2f}" for n, r in case["ratios"].items()))
    return "\n".join(lines)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a large size takes long


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="file to write")
    parser.add_argument(
        "--sizes",
        type=lambda text: [Size.parse(part) for part in text.split(",")],
        default=",".join(SIZES),
        help="images x width, separated by commas",
    )
    parser.add_argument("--rounds", "--repeats", type=int, default=3, help="runs of each")
    parser.add_argument("--pml-rounds", type=int, default=1, help=f"runs of {PML}")
    parser.add_argument("--brief", action="store_true", help="not search alone, not the report")
    parser.add_argument("--threads", type=int, help="CPU threads of all; all cores by default")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
