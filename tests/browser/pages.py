"""Every HTML page of saga, with a text from outside wherever it has one."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from saga.data.validation import ExpectationOutcome, ValidationReport
from saga.gates.base import Effect, GateResult, Status
from saga.gates.decision import GateDecision, Reference
from saga.monitoring.verdict import State, Verdict
from saga.reports.decision import decision_page
from saga.reports.drift import drift_page
from saga.reports.evaluation import evaluation_page
from saga.reports.lineage import Section, lineage_page
from saga.reports.run import CAPTIONS, run_report
from saga.reports.study import study_report
from saga.studies.cells import study_cells
from saga.studies.store import CellStore
from saga.studies.summary import summarise
from tests.monitoring.made import made_report as made_drift
from tests.reports.made import LIMITS, made_manifest, made_summary, planted
from tests.reports.test_attention import made_retriever
from tests.studies.filled import fill, study


def run_page(text: str, folder: Path) -> str:
    drawn = io.BytesIO()
    Image.new("RGB", (40, 20)).save(drawn, "png")
    return run_report(made_summary(text), dict.fromkeys(CAPTIONS, drawn.getvalue()))


def study_page(text: str, folder: Path) -> str:
    store, cells = CellStore(folder / "cells"), study_cells(study(), None)
    for cell in cells:
        fill(store, cell, 0.2)
    made = summarise(study(), None, cells, store, [], {"git_commit": text, "versions": {text: "1"}})
    failed = [{"cell": text, "exit_code": 1, "log": text, "reason": text}]
    return study_report(made | {"study_id": text, "failed": failed, "command": text})


def retrieval_page(text: str, folder: Path) -> str:
    """With its gallery and the attention of an encoder."""
    manifest = made_manifest(folder, [text, "tern"])
    report = planted(manifest, {"0-0": ["0-1", "1-2"], "1-0": ["0-1"]})
    named = replace(report, name=text, facts=report.facts | {text: text})
    return evaluation_page(named, manifest, made_retriever("attention"), LIMITS)


def gates_page(text: str, folder: Path) -> str:
    interval = {"metric": "recall_at_1", "value": 0.5, "low": 0.4, "high": 0.6, "threshold": 0.1}
    passed = GateResult("floor", "value_threshold", Status.PASS, text, **interval)
    failed = replace(passed, id=text, test=text, status=Status.FAIL, effect=Effect.BLOCKS)
    return decision_page(
        GateDecision(
            policy=text,
            gates=(passed, failed),
            encoder_digest=text,
            dataset_digest=text,
            policy_digest=text,
            report_digest=text,
            references={text: Reference(text, text)},
        )
    )


def validation_page(text: str, folder: Path) -> str:
    outcome = ExpectationOutcome("a", text, "critical", False, text, text, (text, text), text)
    return ValidationReport(
        dataset=text,
        layout=text,
        dataset_digest=text,
        counts={"images": 4, "train": {"images": 4, "classes": 2}},
        limits_digest=text,
        settings={text: text},
        expected=("a", text),
        outcomes=(outcome,),
    ).page()


def drifted_page(text: str, folder: Path) -> str:
    report = made_drift(warnings=(text,), not_judged=(text,), digests={text: text}, name=text)
    named = report.images.assign(image=text)
    return drift_page(replace(report, images=named), Verdict(State.RETRAIN, text, True), text)


def lineages_page(text: str, folder: Path) -> str:
    artifact = {"kind": "Retriever", "digest": text, "step": text, "made_here": True}
    facts: dict[str, Any] = {
        "model": text,
        "version": 7,
        "stage": "production",
        "registered": text,
        "encoder": {"artifact": text, "digest": text},
        "gate": None,
        "artifacts": {text: artifact},
        "steps": [{"inputs": {}, "outputs": [text], "reused_from": None}],
        "supervisor": {"name": text, "digest": text, "prompt": text},
        "code": {"git_commit": text, "git_dirty": True},
        "settings_digest": text,
        "promotions": [{"to_version": 7, "at": text, "who": text}],
        "consumers": [],
        "problems": [text],
    }
    found = [{"what": text, "state": "altered", "detail": text}]
    return lineage_page(facts, [Section(text, ((text, text),))], found)


PAGES: dict[str, Callable[[str, Path], str]] = {
    "run report": run_page,
    "study report": study_page,
    "retrieval page": retrieval_page,
    "decision page": gates_page,
    "validation page": validation_page,
    "drift page": drifted_page,
    "lineage page": lineages_page,
}
"""By name: the page with a text from outside; a folder for whatever it is made of."""
