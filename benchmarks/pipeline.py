"""What orchestration costs: ZenML per step, imports, and the way to the first training step.

    python -m benchmarks.pipeline --json pipeline.json

Everything runs in fresh processes with a new SAGA_HOME; each has its naive opponent: steps against plain
calls of the same functions, imports against `python -c pass`, `saga run configs/ci-small.yaml` against the
library's functions in a script. Wall seconds, of this machine and of no other; imports also in CPU
seconds, which other processes disturb less. Smallest of `--repeats`.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import where
from saga.files import write_json

PROJECT = Path(__file__).parents[1]
CONFIG = PROJECT / "configs" / "ci-small.yaml"
PYTHON = sys.executable
STEPS = (2, 22)
"""Lengths of the empty pipelines; the difference gives the seconds of one step."""
HELP = "import sys; sys.argv = ['saga', '--help']; from pipelines.cli import main; main()"
IMPORTS = {
    "nothing": "pass",
    "torch": "import torch",
    "transformers": "from transformers import Qwen3VLForConditionalGeneration",
    "zenml": "from pipelines.home import use_embedded_zenml as own; own(); import zenml",
    "great_expectations": "import great_expectations",
    "evidently": "import evidently",
    "saga.training.trainer": "import saga.training.trainer",
    "pipelines.cli": "import pipelines.cli",
    "saga --help": HELP,
}


def main() -> None:
    """Measure, print and write."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="file to write")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    found = {
        "imports": imports(options.repeats),
        "zenml": best_overhead(options.repeats),
        "first_training_step": first_training_step(options.repeats),
        "environment": where("cpu"),
    }
    if options.json:
        write_json(options.json, found)
    print(json.dumps(found, indent=2))  # noqa: T201 - what the benchmark is for
    _tell(table(found))


def imports(repeats: int, statements: dict[str, str] | None = None) -> dict[str, dict[str, float]]:
    """Seconds of a fresh process for each import, the process itself included."""
    found = {}
    for name, statement in (statements or IMPORTS).items():
        runs = [process_seconds([PYTHON, "-c", statement]) for _ in range(repeats)]
        found[name] = {kind: min(run[kind] for run in runs) for kind in ("wall", "cpu")}
        _tell(f"{name}: {found[name]['wall']:.2f} s")
    return found


def process_seconds(command: list[str]) -> dict[str, float]:
    """Wall and CPU seconds of a process."""
    with fresh_home() as environment:
        before, began = _children(), time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, cwd=PROJECT, env=environment)
        return {"wall": time.perf_counter() - began, "cpu": _children() - before}


def best_overhead(repeats: int) -> dict[str, Any]:
    """The run of `zenml_overhead` whose steps were fastest."""
    return min((zenml_overhead() for _ in range(repeats)), key=lambda run: run["seconds_per_step"])


def zenml_overhead(steps: tuple[int, int] = STEPS) -> dict[str, Any]:
    """Seconds that ZenML adds to a step, from two pipelines of empty steps, and to a run."""
    command = [PYTHON, "-m", "benchmarks.empty_pipeline", *map(str, steps)]
    with fresh_home() as environment:
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, cwd=PROJECT, env=environment
        )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    few, many = (found["runs"][str(n)] for n in steps)
    each = (many - few) / (steps[1] - steps[0])
    plain = found["plain"][str(steps[1])] / steps[1]
    _tell(f"zenml: {each:.3f} s a step")
    return {
        "seconds_per_step": each,
        "plain_call_seconds": plain,
        "seconds_per_run": few - steps[0] * each,
        "first_run_extra_seconds": found["first_run"] - few + (steps[0] - 1) * each,
        "import_and_stack_seconds": found["import_and_stack"],
        "steps": list(steps),
    }


def first_training_step(repeats: int) -> dict[str, Any]:
    """Seconds from the start of the process to the end of the first optimizer step, by way."""
    saga = [PYTHON, "-c", "from pipelines.cli import main; main()", "run", str(CONFIG)]
    plain = [PYTHON, "-m", "benchmarks.first_step", str(CONFIG)]
    found: dict[str, Any] = {}
    for way, command in (("saga_run", saga), ("plain_calls", plain)):
        runs = [milestones(command) for _ in range(repeats)]
        found[way] = min(runs, key=lambda run: run["first_training_step"])
        _tell(f"{way}: {found[way]['first_training_step']:.1f} s to the first training step")
    return found | {"config": CONFIG.name}


def milestones(command: list[str]) -> dict[str, float]:
    """Seconds at which each task of a process was first heard of, up to the first training step.

    The process is ended there.

    Raises:
        RuntimeError: if it ended before.
    """
    found: dict[str, float] = {}
    said: list[str] = []
    with fresh_home() as environment, tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        paths = {"PYTHONPATH": str(PROJECT)}
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment | paths,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        with process, process.stderr:
            for line in process.stderr:
                said.append(line)
                task = line.partition(":")[0]
                found.setdefault(task, time.perf_counter() - began)
                if task.startswith("train "):
                    process.kill()
                    return found | {"first_training_step": found[task]}
    raise RuntimeError(f"{' '.join(command)} never trained: {''.join(said[-20:])}")


class fresh_home:  # noqa: N801
    """An environment whose SAGA_HOME is a new folder; gone afterwards."""

    def __enter__(self) -> dict[str, str]:
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("ZENML_", "SAGA_"))}
        return kept | {"SAGA_HOME": self._folder.name}

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


def table(found: dict[str, Any]) -> str:
    """The figures in a few lines."""
    lines = [f"{'import':24}{'wall s':>8}{'CPU s':>8}"]
    lines += [f"{k:24}{v['wall']:8.2f}{v['cpu']:8.2f}" for k, v in found["imports"].items()]
    zenml, first = found["zenml"], found["first_training_step"]
    lines.append(
        f"ZenML: {zenml['seconds_per_step']:.3f} s a step, {zenml['seconds_per_run']:.2f} s a run"
    )
    for way in ("saga_run", "plain_calls"):
        lines.append(f"first training step, {way}: {first[way]['first_training_step']:.1f} s")
    return "\n".join(lines)


def _children() -> float:
    """CPU seconds of all processes that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - it takes minutes


if __name__ == "__main__":
    main()
