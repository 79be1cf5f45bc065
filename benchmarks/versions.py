"""What a training step costs at two commits, in turns on the same machine.

    python -m benchmarks.versions --commits f40e91b HEAD --json versions.json

Each commit is checked out into a folder of its own and runs steps of the embedded example there, in a
process of its own, and the parts that both have. Rounds alternate; the fastest of each counts.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.machine import where
from saga.files import write_json

ROOT = Path(__file__).parents[1]
PROGRAM = """
import json, statistics, sys, time
from pathlib import Path
import numpy as np
import torch
from pipelines.configuration import load_run_config
from saga.data.load import load_manifest
from saga.mining.miner import mine_training_images
from saga.retrieval.nmi import normalized_mutual_information
from saga.retrieval.search import search
from saga.training.trainer import Trainer, untrained_retriever

torch.set_num_threads(int(sys.argv[2]))
run = load_run_config(Path("configs/embedded.yaml"), [])
manifest = load_manifest(run.dataset, Path(sys.argv[1]))
untrained = lambda: untrained_retriever(run.supervisor)
pairs = mine_training_images(manifest, run.mining, untrained, run.dataset.limits)
found, repeats = {}, int(sys.argv[3])

def median(name, work):
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    found[name] = statistics.median(seconds[2:])

for arm in (run.candidate_arm, run.baseline_arm):
    trainer = Trainer(arm, manifest, pairs)
    median("step, " + arm.name, trainer.step)
trainer = Trainer(run.candidate_arm, manifest, pairs)
supervisor, rollout = trainer.supervisor, run.training.rollout
pixels = trainer.store.pixels(list(range(64)))
median("tower, forward", lambda: trainer.tower(pixels))
tokens = trainer.tower(pixels).detach()
first, second = tokens.index(list(range(32))), tokens.index(list(range(32, 64)))
same, seeds = [i % 2 == 0 for i in range(32)], list(range(32))
median("rollout, 32 pairs x 8", lambda: supervisor.judge(first, second, same, rollout, seeds))
verdicts = supervisor.judge(first, second, same, rollout, seeds)

def replayed():
    a, b = (type(x)(x.tokens_BND.clone().requires_grad_(), x.deepstack) for x in (first, second))
    for chunk in torch.arange(32).split(run.training.replay_pairs):
        chosen = verdicts.select(chunk)
        replay = supervisor.replay(
            a.index(chunk), b.index(chunk), chosen.completions, rollout, capture=True
        )
        right = chosen.rewards_PG == 1
        supervisor.teacher_maps(replay.capture, chosen.completions, chosen.answers, right)
        replay.logp_PGT.sum().backward()

median("replay and attention, 32 pairs x 8", replayed)
rng = np.random.default_rng(0)
labels = np.arange(6000) % 100
vectors = rng.normal(size=(100, 1024))[labels] + 3 * rng.normal(size=(6000, 1024))
vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
median("search, 6000 x 1024", lambda: search(vectors, vectors, 8, exclude_self=True))
median("NMI, 6000 x 1024", lambda: normalized_mutual_information(vectors, labels, 0))
print(json.dumps(found))
"""


def main() -> None:
    """Measure, print and write."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--commits", nargs=2, required=True, metavar=("BEFORE", "AFTER"))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--steps", type=int, default=10, help="of each part in a round; two are warm-up"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file to write")
    options = parser.parse_args()
    found = compare(options.commits, options.rounds, options.steps, options.threads)
    found |= {"environment": where("cpu") | {"threads": options.threads}}
    if options.json:
        write_json(options.json, found)
    print(json.dumps(found, indent=2))  # noqa: T201 - what the benchmark is for


def compare(commits: list[str], rounds: int, steps: int, threads: int) -> dict[str, Any]:
    """Seconds of each part at each commit, and the first commit's over the second's."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        runs: dict[str, list[dict[str, float]]] = {commit: [] for commit in commits}
        for _ in range(rounds):
            for commit in commits:
                with checked_out(commit) as root:
                    runs[commit].append(measured(root, data, steps, threads))
    names = runs[commits[0]][0]
    seconds = [{name: min(run[name] for run in runs[c]) for name in names} for c in commits]
    return {
        "commits": [_hash(commit) for commit in commits],
        "seconds": seconds,
        "ratios": {name: seconds[0][name] / seconds[1][name] for name in names},
        "runs": [runs[commit] for commit in commits],
        "steps": steps,
    }


def measured(root: Path, data: Path, steps: int, threads: int) -> dict[str, float]:
    """Median seconds of each part, with the code of one folder."""
    command = [sys.executable, "-c", PROGRAM, str(data), str(threads), str(steps)]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """A folder with the code of a commit."""
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(
            ["git", "archive", commit], cwd=ROOT, capture_output=True, check=True
        )
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        yield Path(folder)


def _hash(commit: str) -> str:
    done = subprocess.run(
        ["git", "rev-parse", commit], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


if __name__ == "__main__":
    main()
