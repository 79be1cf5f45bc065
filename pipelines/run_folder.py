"""runs/<run id>: summary.json and report.html of a run, and the validation's page."""

import logging
import os
import re
import secrets
import time
from pathlib import Path
from typing import Any

from pipelines.configuration import RunConfig
from pipelines.execution import Outcome, load
from saga.files import write_json, write_text

logger = logging.getLogger("saga.pipelines")


def new_run_id(runs: Path, name: str) -> str:
    """Time, name and four random digits: sorts by time, and two runs at once do not meet."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    simple = re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:60]
    run_id = f"{stamp}-{simple}-{secrets.token_hex(2)}"
    assert not (runs / run_id).exists(), "run ids do not repeat"
    return run_id


def write_run(
    folder: Path, config: RunConfig, summary: dict[str, Any], outcome: Outcome
) -> list[Path]:
    """Write the run's files; returns their paths, the summary first."""
    from saga.reports.run import run_report

    files = [folder / "summary.json", folder / "report.html"]
    validation = load(outcome.run, "validation")
    if validation is not None:
        write_text(folder / "validation.html", validation.page())
        files.append(folder / "validation.html")
    write_text(folder / "report.html", run_report(summary, _pictures(config, outcome)))
    write_json(folder / "config.json", config.as_dict())
    write_json(folder / "summary.json", summary)
    return files


def _pictures(config: RunConfig, outcome: Outcome) -> dict[str, bytes]:
    """By name, for `run_report`; those whose images or artifacts are not at hand are left out."""
    from saga.reports.attention import attention_overlays
    from saga.reports.contact_sheet import contact_sheet
    from saga.reports.curves import similarity_histogram, training_curves
    from saga.reports.gallery import gallery
    from saga.reports.recall import recall_chart

    run, limits = outcome.run, config.dataset.limits
    arms = [arm.name for arm in config.arms]
    manifest = load(run, "manifest")
    histories = {arm: h for arm in arms if (h := load(run, f"history_{arm}")) is not None}
    reports = {
        name: r for name in ("pretrained", *arms) if (r := load(run, f"report_{name}")) is not None
    }
    candidate, encoder = reports.get(arms[-1]), load(run, f"encoder_{arms[-1]}")
    drawings: dict[str, Any] = {}
    if reports:
        drawings["recall"] = lambda: recall_chart(reports)
        drawings["similarity"] = lambda: similarity_histogram(reports)
    if histories:
        drawings["curves"] = lambda: training_curves(histories)
    images = manifest is not None and _sees(manifest.root)
    if candidate is not None and images:
        drawings["gallery"] = lambda: gallery(candidate, manifest, limits)
    if encoder is not None and images:
        test = manifest.subset("test")
        drawings["attention"] = lambda: attention_overlays(encoder, manifest, test, limits)
    if images:
        for split in ("train", "test"):
            drawings[f"images_{split}"] = lambda s=split: contact_sheet(manifest, s, limits)
    pictures = {}
    for name, draw in drawings.items():
        try:
            drawn = draw()
        except Exception as error:  # noqa: BLE001 - a picture must never cost a run its summary
            logger.warning("the picture %s could not be drawn: %s", name, error)
            continue
        if drawn is not None:
            pictures[name] = drawn
    return pictures


def _sees(root: Path) -> bool:
    """Whether the dataset's files are on this machine; those of a run on a cluster may not be."""
    there = os.path.isdir(root)
    if not there:
        logger.warning(
            "report.html shows no images: they are in %s of the pods, which this machine does not see. "
            "Mount that volume here at the same path, and the same command draws them from its cache.",
            root,
        )
    return there
