"""The way to the first training step without the pipeline: plain calls of the library.

    python -m benchmarks.first_step configs/ci-small.yaml

Loads the data, mines the pairs and takes one step of the run's first arm; prints a line after each. Run
by benchmarks.pipeline in a process of its own.
"""

import os
import sys
from pathlib import Path

from pipelines.configuration import load_run_config


def main() -> None:
    """Go there."""
    run = load_run_config(sys.argv[1])
    from saga.data.load import load_manifest
    from saga.mining.miner import mine_training_images
    from saga.training.trainer import Trainer, untrained_retriever

    manifest = load_manifest(run.dataset, Path(os.environ["SAGA_HOME"]) / "data")
    _tell("load the dataset")
    limits = run.dataset.limits
    pairs = mine_training_images(
        manifest, run.mining, lambda: untrained_retriever(run.supervisor), limits
    )
    _tell("mine pairs")
    arm = run.arms[0]
    Trainer(arm, manifest, pairs).step()
    _tell(f"train {arm.name}")


def _tell(task: str) -> None:
    print(f"{task}: done", file=sys.stderr, flush=True)  # noqa: T201 - read by the benchmark


if __name__ == "__main__":
    main()
