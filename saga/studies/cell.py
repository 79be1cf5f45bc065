"""One cell in a process of its own: data, pairs, training, evaluation, a folder.

    python -m saga.studies.cell JOB.json

The job says what `Job` holds. One thread; a cell that was interrupted goes on from its last
checkpoint; the same cell in two processes is made once.
"""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from saga.data.load import load_manifest
from saga.data.manifest import DatasetManifest
from saga.encoders.retriever import Retriever
from saga.errors import SagaError
from saga.files import digest_of, replace_folder, sha256_file, write_json
from saga.mining.miner import mine_training_images
from saga.mining.pairs import PairSet
from saga.retrieval.evaluate import evaluate_encoder
from saga.retrieval.report import RetrievalReport
from saga.studies.cells import CellConfig, arm_config, build_cell
from saga.studies.store import ENCODER, FACTS, HISTORY, PROGRESS, REPORT, is_whole
from saga.training.history import TrainingHistory

Tell = Callable[[str, int, int], None]
"""tell(what, done, total)"""
PROGRESS_EVERY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Job:
    """What a cell's process is told."""

    name: str
    arm: str
    key: str
    """Digest of what decides the figures."""
    config: dict[str, Any]
    """The CellConfig as plain values."""
    folder: str
    """To write."""
    work: str
    """For checkpoints and progress."""
    data: str
    """Cache of drawn datasets."""
    git: dict[str, Any]
    """git_commit and git_dirty of the code."""
    again: bool = False
    """Make it also where it is whole."""


@dataclass(frozen=True, slots=True)
class CellResult:
    """What a cell came to."""

    report: RetrievalReport
    encoder: Retriever
    history: TrainingHistory | None
    """None where nothing was trained."""
    manifest: DatasetManifest
    pairs: PairSet | None


def perform(job: Job) -> bool:
    """Make the cell unless it is whole; returns whether it was made."""
    folder, work = Path(job.folder), Path(job.work)
    work.mkdir(parents=True, exist_ok=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if not job.again and is_whole(folder, job.key):
            return False
        started, code = time.time(), code_digest()
        checkpoints = work / f"checkpoints-{code[:12]}"
        if job.again:
            shutil.rmtree(checkpoints, ignore_errors=True)
        config = build_cell(job.config, job.name)
        tell = _teller(work / PROGRESS)
        result = run_cell(job.arm, config, Path(job.data), checkpoints, tell)
        with replace_folder(folder) as building:
            _write(building, job, result, code, started)
    return True


def run_cell(
    arm: str, config: CellConfig, data: Path, checkpoints: Path | None, tell: Tell
) -> CellResult:
    """Data, pairs, training, evaluation.

    Args:
        arm: its name.
        config: the cell's settings.
        data: cache of drawn datasets.
        checkpoints: folder of resumable checkpoints; None writes none.
        tell: called now and then.

    Raises:
        UserInputError: if configuration, data and supervisor do not fit together.
    """
    manifest = cell_manifest(config, data, tell)
    pairs, history = None, None
    if config.of == "train":
        from saga.training.trainer import train

        pairs = mined(config, manifest)
        encoder, history = train(
            arm_config(config, arm),
            manifest,
            pairs,
            checkpoint_folder=checkpoints,
            progress=lambda at: tell("train", at.step, at.steps),
        )
    else:
        encoder = untrained(config)
    frame = manifest.subset(config.split)
    report = evaluate_encoder(
        encoder,
        manifest,
        frame,
        config.evaluation,
        arm,
        config.dataset.limits,
        lambda done, total: tell("evaluate", done, total),
    )
    return CellResult(report, encoder, history, manifest, pairs)


def cell_manifest(config: CellConfig, data: Path, tell: Tell) -> DatasetManifest:
    """The cell's data. Where validation classes are judged, the test rows are gone from it."""
    manifest = load_manifest(
        config.dataset, data, lambda done, total: tell("read the data", done, total)
    )
    if config.split == "test":
        return manifest
    kept = manifest.frame[manifest.frame["split"] != "test"].reset_index(drop=True)
    return replace(manifest, frame=kept)


def untrained(config: CellConfig) -> Retriever:
    """The tower as it comes, with mean pooling or the arm's pooler at its initial weights."""
    from saga.encoders.poolers import build_pooler
    from saga.supervisors.checkpoint import load_checkpoint
    from saga.training.alignment import with_queries
    from saga.training.trainer import untrained_retriever

    if config.of == "pretrained":
        return untrained_retriever(config.supervisor)
    loaded = load_checkpoint(config.supervisor)
    pooler = with_queries(config.encoder.pooler, config.supervisor.prompt)
    provenance = {"arm": "untrained_pooler", "supervisor": loaded.digest}
    return Retriever(
        loaded.tower, build_pooler(pooler, loaded.tower.width), loaded.preprocessor, provenance
    )


def mined(config: CellConfig, manifest: DatasetManifest) -> PairSet:
    """Pairs of training images, searched with the untrained encoder where the strategy does."""
    tower = replace(config, of="pretrained")
    limits = config.dataset.limits
    return mine_training_images(manifest, config.mining, lambda: untrained(tower), limits)


def _write(folder: Path, job: Job, result: CellResult, code: str, started: float) -> None:
    for name in (REPORT, HISTORY):
        (folder / name).mkdir()
    result.report.save(folder / REPORT)
    result.encoder.save(folder / ENCODER, result.report.metrics)
    summary = None
    if result.history is not None:
        result.history.save(folder / HISTORY)
        summary = result.history.summary
    write_json(
        folder / FACTS,
        {
            "name": job.name,
            "arm": job.arm,
            "key": job.key,
            "config": job.config,
            "metrics": result.report.metrics,
            "training": summary,
            "report_digest": result.report.digest,
            "encoder_digest": result.encoder.digest,
            "dataset_digest": result.manifest.digest,
            "pairs_digest": None if result.pairs is None else result.pairs.digest,
            "code": code,
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
            "seconds": round(time.time() - started, 1),
        }
        | job.git,
    )


def code_digest() -> str:
    """Of every module of the library: recorded, and checkpoints of other code are not continued."""
    root = Path(__file__).parents[1]
    modules = sorted(root.rglob("*.py"))
    return digest_of({path.relative_to(root).as_posix(): sha256_file(path) for path in modules})


def _teller(path: Path) -> Tell:
    """Writes progress to a file now and then, and stops when whoever started this is gone."""
    parent, last = os.getppid(), [0.0]

    def tell(what: str, done: int, total: int) -> None:
        if os.getppid() != parent:
            raise KeyboardInterrupt
        now = time.monotonic()
        if now - last[0] >= PROGRESS_EVERY_SECONDS or done == total:
            last[0] = now
            aside = path.with_suffix(".new")
            aside.write_text(json.dumps([what, done, total]))
            aside.replace(path)

    return tell


def main(path: Path) -> int:
    """Do a job file's cell; returns the exit code."""
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    job = Job(**json.loads(path.read_text(encoding="utf-8")))
    try:
        made = perform(job)
    except SagaError as error:
        print(error)  # noqa: T201 - into the cell's log
        return error.exit_code
    print("made" if made else "was whole already")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
