"""One arm trained by several processes, on this machine or on several.

    encoder, history = train_in_processes(arm, manifest, pairs, 2)

What is trained is written into a folder, which the processes read; the first of them writes encoder
and history back. A process alone is started by torchrun as

    python -m saga.training.processes FOLDER

with one GPU each where there are GPUs (NCCL), else on the CPU (gloo). On several machines the folder lies
on storage that all of them share, and whoever has the machines starts saga.training.launch on each.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from saga import errors
from saga.data.manifest import DatasetManifest
from saga.encoders.retriever import Retriever
from saga.errors import SagaError, UserInputError
from saga.files import replace_folder, write_json
from saga.mining.pairs import PairSet
from saga.settings.typed import Problems, build, plain_values
from saga.training.arm import ArmConfig
from saga.training.history import TrainingHistory
from saga.training.launch import MODULE
from saga.training.trainer import Progress, train

ARM, FAILURE, PROGRESS = "arm.json", "failure.json", "progress "
LAST_LINES = 20

Tell = Callable[[Progress], None]


class Nodes(Protocol):
    """Several machines that can be made to perform a training together."""

    @property
    def folder(self) -> Path:
        """Where the training is written; storage that all share, the same for the same training."""

    def perform(self, progress: Tell | None) -> None:
        """Have it performed; over when the folder holds the result, or why there is none.

        Args:
            progress: called after every step.

        Raises:
            RuntimeError: if it failed otherwise.
        """


def train_arm(
    config: ArmConfig,
    manifest: DatasetManifest,
    pairs: PairSet,
    *,
    checkpoint_folder: Path | None = None,
    progress: Tell | None = None,
    provenance: dict[str, Any] | None = None,
    nodes: Nodes | None = None,
) -> tuple[Retriever, TrainingHistory]:
    """`train`, by as many processes as the configuration says.

    Args:
        config: the arm.
        manifest: the data.
        pairs: mined pairs of training images.
        checkpoint_folder: where resumable checkpoints go; all machines must see it.
        progress: called after every step.
        provenance: further digests to record in the encoder.
        nodes: where several machines come from; None: there is this one.

    Raises:
        UserInputError: if configuration, data, supervisor and machines do not fit together.
        RuntimeError: if a process failed otherwise.
    """
    spread = config.training.distributed
    options: dict[str, Any] = {"checkpoint_folder": checkpoint_folder, "provenance": provenance}
    if spread.nodes > 1:
        if nodes is None:
            raise UserInputError(
                f"training.distributed.nodes is {spread.nodes}, but this is one machine. Allowed here: "
                "1; several need a cluster (--stack) whose training pool has them."
            )
        write_training(nodes.folder, config, manifest, pairs, **options)
        nodes.perform(progress)
        return result_of(nodes.folder)
    if spread.processes_per_node == 1:
        return train(config, manifest, pairs, progress=progress, **options)
    processes = spread.processes_per_node
    return train_in_processes(config, manifest, pairs, processes, progress=progress, **options)


def train_in_processes(
    config: ArmConfig,
    manifest: DatasetManifest,
    pairs: PairSet,
    processes: int,
    *,
    checkpoint_folder: Path | None = None,
    progress: Tell | None = None,
    provenance: dict[str, Any] | None = None,
) -> tuple[Retriever, TrainingHistory]:
    """Train one arm by several processes of this machine; the result is that of `train`, to rounding.

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
        options: dict[str, Any] = {"checkpoint_folder": checkpoint_folder, "provenance": provenance}
        write_training(folder, config, manifest, pairs, **options)
        _run(folder, processes, progress)
        return result_of(folder)


def write_training(
    folder: Path,
    config: ArmConfig,
    manifest: DatasetManifest,
    pairs: PairSet,
    *,
    checkpoint_folder: Path | None = None,
    provenance: dict[str, Any] | None = None,
) -> None:
    """Write down what is to be trained; what is there already stays as it is.

    Args:
        folder: made where it is not.
        config: the arm.
        manifest: the data.
        pairs: mined pairs of training images.
        checkpoint_folder: where resumable checkpoints go.
        provenance: further digests to record in the encoder.
    """
    if (folder / ARM).is_file():  # written last: processes may be reading the rest
        return
    for part, content in (("manifest", manifest), ("pairs", pairs)):
        with replace_folder(folder / part) as building:
            content.save(building)
    checkpoints = None if checkpoint_folder is None else str(checkpoint_folder.absolute())
    job = {"arm": plain_values(config), "checkpoints": checkpoints, "provenance": provenance or {}}
    write_json(folder / ARM, job)


def result_of(folder: Path) -> tuple[Retriever, TrainingHistory]:
    """What the processes of a folder made.

    Raises:
        SagaError: what the user did wrong, as a process met it.
    """
    raise_failure(folder)
    return Retriever.load(folder / "encoder"), TrainingHistory.load(folder / "history")


def raise_failure(folder: Path) -> None:
    """Nothing, unless a process found that the user did something wrong.

    Raises:
        SagaError: what it was, of the kind that the process met.
    """
    if (folder / FAILURE).is_file():
        told = json.loads((folder / FAILURE).read_text())
        kind = getattr(errors, told.get("kind", ""), UserInputError)
        raise kind(told["message"])


def progress_of(line: str) -> Progress | None:
    """The progress that a line of a process tells; None where it tells something else."""
    if not line.startswith(PROGRESS):
        return None
    return Progress(**json.loads(line.removeprefix(PROGRESS)))


def _run(folder: Path, processes: int, progress: Tell | None) -> None:
    """Start the processes, tell their progress, and explain how they failed."""
    program = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *program, "-m", MODULE, str(folder)]
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
                at = progress_of(line)
                if at is None:
                    said = [*said[1 - LAST_LINES :], line.rstrip()]
                elif progress is not None:
                    progress(at)
        finally:
            # Where telling the progress raised, nobody would read what the processes say.
            if running.poll() is None and sys.exc_info()[0] is not None:
                running.terminate()
        code = running.wait()
    raise_failure(folder)
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
    # Tensors on a GPU go over NCCL; figures and the meeting before each exchange go over gloo, whose time
    # limit raises and names who is missing.
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if with_gpu else "gloo",
        timeout=timedelta(minutes=config.training.distributed.timeout_minutes),
    )
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
            # A group that is started again after its last step finds what the first one wrote.
            for part, content in (("history", history), ("encoder", encoder)):
                with replace_folder(folder / part) as building:
                    content.save(building)
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
        told = {"kind": type(error).__name__, "message": str(error)}
        write_json(Path(folder) / FAILURE, told)
        raise SystemExit(error.exit_code) from error


if __name__ == "__main__":
    main(*sys.argv[1:])
