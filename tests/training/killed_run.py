"""A training run that ends itself: `python -m tests.training.killed_run BIRDS CHECKPOINTS STEP SIGNAL`.

By SIGKILL no handler runs and nothing is flushed, as when a node disappears; by SIGTERM it is told to
end, as when a node is taken away.
"""

import os
import signal
import sys
from pathlib import Path

import torch

from saga.data.manifest import DatasetManifest
from saga.training.trainer import Progress, train
from tests.training.resumable import resumable_arm, resumable_pairs


def main(birds: str, checkpoints: str, last: str, by: str) -> None:
    """Train until the step `last` is done, then get a signal before it is saved."""

    def die(at: Progress) -> None:
        if at.step == int(last):
            os.kill(os.getpid(), signal.Signals[by])

    torch.set_num_threads(1)
    manifest = DatasetManifest.load(Path(birds))
    arm = resumable_arm()
    train(
        arm, manifest, resumable_pairs(manifest), checkpoint_folder=Path(checkpoints), progress=die
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
