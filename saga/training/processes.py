"""One arm trained by several processes of this machine, through torchrun.

    encoder, history = train_in_processes(arm, manifest, pairs, 2)

What is trained is written into a folder, which the processes read; the first of them writes encoder
and history back. A process alone is started by torchrun as

    python -m saga.training.processes FOLDER

with one GPU each where there are GPUs (NCCL), else on the CPU (gloo).
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from saga.data.manifest import DatasetManifest
from saga.encoders.retriever import Retriever
from saga.errors import SagaError, UserInputError
from saga.files import write_json
from saga.mining.pairs import PairSet
from saga.settings.typed import Problems, build, plain_values
from saga.training.arm import ArmConfig
from saga.training.history import TrainingHistory
from saga.training.trainer import Progress, train

ARM, FAILURE, PROGRESS = "arm.json", "failure.json", "progress "
LAST_LINES = 20


def train_arm(
    config: ArmConfig,
    manifest: DatasetManifest,
    pairs: PairSet,
    *,
    checkpoint_folder: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
    provenance: dict[str, Any] | None = None,
) -> tuple[Retriever, TrainingHistory]:
    """`train`, by as many processes as the configuration says."""
    processes = config.training.distributed.processes_per_node
    options: dict[str, Any] = {
        "checkpoint_folder": checkpoint_folder,
        "progress": progress,
        "provenance": provenance,
    }
    if processes == 1:
        return train(config, manifest, pairs, **options)
    return train_in_processes(config, manifest, pairs, processes, **options)


def train_in_processes(
    config: ArmConfig,
    manifest: DatasetManifest,
    pairs: PairSet,
    processes: int,
    *,
    checkpoint_folder: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
    provenance: dict[str, Any] | None = None,
) -> tuple[Retriever, TrainingHistory]:
    """Train one arm by several processes; the result is that of `train`, to rounding.

    Args:
        config: the arm.
        manifest: the data.
        pairs: mined pairs of training images.
        processes: how many.
        checkpoint_folder: where resumable checkpoints go.
        progress: called after every step.
        provenance: further digests to record in the encoder.

    Raises:
        UserInputError: if configuration, data and supervisor do not fit together, or there are fewer
            GPUs than processes.
        RuntimeError: if a process failed otherwise, with what it said last.
    """
    with tempfile.TemporaryDirectory(prefix="saga-training-") as name:
        folder = Path(name)
        checkpoints = None if checkpoint_folder is None else str(checkpoint_folder.absolute())
        job = {
            "arm": plain_values(config),
            "checkpoints": checkpoints,
            "provenance": provenance or {},
        }
        write_json(folder / ARM, job)
        for part, content in (("manifest", manifest), ("pairs", pairs)):
            (folder / part).mkdir()
            content.save(folder / part)
        _run(folder, processes, progress)
        return Retriever.load(folder / "encoder"), TrainingHistory.load(folder / "history")


def _run(folder: Path, processes: int, progress: Callable[[Progress], None] | None) -> None:
    """Start the processes, tell their progress, and explain how they failed."""
    program = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *program, "-m", "saga.training.processes", str(folder)]
    package = str(Path(__file__).parents[2])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    said: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    ) as running:
        assert running.stdout is not None
        try:
            for line in running.stdout:
                if line.startswith(PROGRESS):
                    if progress is not None:
                        progress(Progress(**json.loads(line.removeprefix(PROGRESS))))
                else:
                    said = [*said[1 - LAST_LINES :], line.rstrip()]
        finally:
            # Where telling the progress raised, nobody would read what the processes say.
            if running.poll() is None and sys.exc_info()[0] is not None:
                running.terminate()
        code = running.wait()
    if (folder / FAILURE).is_file():
        raise UserInputError(json.loads((folder / FAILURE).read_text())["message"])
    if code:
        raise RuntimeError("a training process failed; last it said:\n" + "\n".join(said))


def _perform(folder: Path) -> None:
    """Train as one of the processes."""
    import torch
    import torch.distributed as dist

    job = json.loads((folder / ARM).read_text())
    config = _arm(job["arm"])
    rank, local = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    with_gpu = config.supervisor.device != "cpu" and torch.cuda.is_available()
    if with_gpu:
        _check_gpus(int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count())
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if with_gpu else "gloo")
    try:
        encoder, history = train(
            config,
            DatasetManifest.load(folder / "manifest"),
            PairSet.load(folder / "pairs"),
            checkpoint_folder=None if job["checkpoints"] is None else Path(job["checkpoints"]),
            progress=lambda at: print(PROGRESS + json.dumps(asdict(at)), flush=True),  # noqa: T201
            provenance=job["provenance"],
        )
        if rank == 0:
            encoder.save(folder / "encoder")
            (folder / "history").mkdir()
            history.save(folder / "history")
        dist.barrier()
    finally:
        dist.destroy_process_group()


def _arm(raw: dict[str, Any]) -> ArmConfig:
    problems = Problems("the training's folder", ArmConfig)
    config = build(ArmConfig, raw, problems)
    problems.raise_all()
    assert config is not None
    return config


def _check_gpus(processes: int, gpus: int) -> None:
    if processes > gpus:
        raise UserInputError(
            f"training.distributed.processes_per_node is {processes}, but this machine shows "
            f"{gpus} GPUs. Allowed: 1 to {gpus}; or set supervisor.device to cpu."
        )


def main(folder: str) -> None:
    """Train; what the user did wrong is left in the folder for the process that waits."""
    try:
        _perform(Path(folder))
    except SagaError as error:
        write_json(Path(folder) / FAILURE, {"message": str(error)})
        raise SystemExit(error.exit_code) from error


if __name__ == "__main__":
    main(*sys.argv[1:])
