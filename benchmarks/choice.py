"""What predicted disagreement brings: shares of contributing pairs, and the lean that it costs.

    python -m benchmarks.choice --json choice.json

Trains the embedded example twice with the same settings and seed, once with every drawn pair and once with
chosen ones. Shares are means over the steps after the first ten, in which little is known yet. Retrieval
is not measured here: one seed would say nothing.
"""

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.machine import where
from pipelines.configuration import CONFIGS, load_run_config
from saga.data.load import load_manifest
from saga.files import write_json
from saga.mining.configuration import ChoiceConfig
from saga.mining.miner import mine_training_images
from saga.training.history import TrainingHistory
from saga.training.trainer import train, untrained_retriever

SKIPPED = 10
FIGURES = {
    "contributing": "rollout/contributing",
    "contributing_explored": "choice/contributing_explored",
    "contributing_predicted": "choice/contributing_predicted",
    "similarity_shift": "choice/similarity_shift",
    "reward": "rollout/reward",
}


def main() -> None:
    """Measure, print and write."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--json", type=Path, help="file to write")
    options = parser.parse_args()
    found = compare(options.steps, options.seeds) | {"environment": where("cpu")}
    if options.json:
        write_json(options.json, found)
    print(json.dumps(found, indent=2))  # noqa: T201 - what the benchmark is for


def compare(steps: int, seeds: list[int]) -> dict[str, Any]:
    """Figures of each mode, a row for each seed.

    Args:
        steps: of each training; more than are skipped.
        seeds: of the trainings.
    """
    run = load_run_config(CONFIGS / "embedded.yaml", [])
    with tempfile.TemporaryDirectory() as folder:
        manifest = load_manifest(run.dataset, Path(folder))
        pairs = mine_training_images(
            manifest, run.mining, lambda: untrained_retriever(run.supervisor), run.dataset.limits
        )
        modes: dict[str, list[dict[str, float]]] = {"unbiased": [], "predicted": []}
        for mode in modes:
            for seed in seeds:
                choice = ChoiceConfig(mode)  # type: ignore[arg-type]
                training = replace(
                    run.candidate_arm.training, steps=steps, seed=seed, choice=choice
                )
                arm = replace(run.candidate_arm, training=training)
                modes[mode].append(figures(train(arm, manifest, pairs)[1]))
    return {"steps": steps, "seeds": seeds, "skipped_steps": SKIPPED, "modes": modes}


def figures(history: TrainingHistory) -> dict[str, float]:
    """Means over the steps in which something is known."""
    late = history.frame.iloc[min(SKIPPED, len(history.frame) - 1) :]
    return {name: float(late[c].mean()) for name, c in FIGURES.items() if c in late}


if __name__ == "__main__":
    main()
