"""summary.json of a run: what was judged, what it came to and from. Rates are in [0, 1]."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.configuration import RunConfig, study_path
from pipelines.environment import environment, peak_memory_bytes
from pipelines.execution import Outcome, artifact, load
from saga.gates.base import PRODUCTION
from saga.retrieval.report import RetrievalReport
from saga.retrieval.statistics import paired_difference
from saga.studies.published import published

if TYPE_CHECKING:
    from saga.data.manifest import DatasetManifest
    from saga.data.validation import ValidationReport
    from saga.gates.decision import GateDecision
    from saga.training.history import TrainingHistory

PRETRAINED = "pretrained"
COMPARED = ("recall_at_1", "map_at_r")
EMBEDDED_NOTE = (
    "The embedded supervisor was pretrained on drawn birds and knows nothing else: on other images "
    "its reward and share of contributing pairs are reported, and nothing is claimed for what it "
    "teaches."
)


def summarise(
    config: RunConfig, run_id: str, outcome: Outcome, bound: Mapping[str, str], command: str
) -> dict[str, Any]:
    """Everything that a run's summary says; what a failed run did not reach is left out."""
    run = outcome.run
    manifest: DatasetManifest | None = load(run, "manifest")
    validation: ValidationReport | None = load(run, "validation")
    decision: GateDecision | None = load(run, "decision")
    arms = [arm.name for arm in config.arms]
    histories = {arm: h for arm in arms if (h := load(run, f"history_{arm}")) is not None}
    reports = {
        name: r
        for name in [PRETRAINED, *arms, PRODUCTION]
        if (r := load(run, f"report_{name}")) is not None
    }
    summary: dict[str, Any] = {
        "run_id": run_id,
        "status": status(outcome, decision),
        "command": command,
        "config": {"name": config.name, "digest": config.digest},
        "model": {"name": config.model, "version": _version(run)},
        "supervisor": _supervisor(config, bound),
        "artifacts": _artifacts(run),
        "timings": timings(run),
        "peak_memory_bytes": peak_memory_bytes(),
        "environment": environment(),
    }
    if manifest is not None:
        summary["dataset"] = _dataset(manifest, validation)
    if reports:
        summary["methods"] = {n: _method(config, r, histories.get(n)) for n, r in reports.items()}
        summary["differences"] = _differences(reports, arms)
    if config.candidate_arm.name in histories:
        summary["training"] = _training(histories[config.candidate_arm.name])
    if config.study is not None and reports:
        summary["study"] = published(study_path(config.study))
    if decision is not None:
        summary["gate"] = decision.to_summary()
    if outcome.error is not None:
        summary["error"] = str(outcome.error)
    return summary


def status(outcome: Outcome, decision: "GateDecision | None") -> str:
    """ok: every gate passed; refused: a gate or the validation said no; failed: the rest."""
    from saga.errors import RefusedError

    if outcome.error is not None:
        return "refused" if isinstance(outcome.error, RefusedError) else "failed"
    return "ok" if decision is not None and decision.passed else "refused"


def timings(run: Any) -> dict[str, float]:
    """Seconds of each step; a reused step took none."""
    return {
        name: round((step.end_time - step.start_time).total_seconds(), 2)
        for name, step in run.steps.items()
        if step.start_time and step.end_time
    }


def reused(run: Any) -> list[str]:
    """Steps whose result came from an earlier run."""
    return sorted(name for name, step in run.steps.items() if step.status == "cached")


def _version(run: Any) -> int | None:
    return None if run.model_version is None else int(run.model_version.number)


def _dataset(manifest: "DatasetManifest", validation: "ValidationReport | None") -> dict[str, Any]:
    counts = manifest.counts()
    facts: dict[str, Any] = {
        "name": manifest.name,
        "digest": manifest.digest,
        "layout": manifest.layout,
        "images": counts["images"],
    }
    for split in ("train", "validation", "test"):
        facts |= {f"{split}_{what}": counts[split][what] for what in ("images", "classes")}
    if validation is not None:
        facts["validation"] = validation.to_summary()
    return facts


def _supervisor(config: RunConfig, bound: Mapping[str, str]) -> dict[str, Any]:
    known = config.supervisor.model != "embedded" or config.dataset.layout == "synthetic"
    return {
        "name": config.supervisor.model,
        "prompt": config.supervisor.prompt,
        "digest": bound["supervisor_files"],
        "note": "" if known else EMBEDDED_NOTE,
    }


def _method(
    config: RunConfig, report: RetrievalReport, history: "TrainingHistory | None"
) -> dict[str, Any]:
    trained: dict[str, Any] = {"train_seconds": 0.0, "steps": 0, "seed": config.training.seed}
    if history is not None:
        facts = history.summary
        trained = {
            "train_seconds": round(facts["seconds"], 2),
            "steps": facts["steps"],
            "seed": facts["seed"],
            "wait_share": facts.get("wait_share"),
        }
    return (
        report.to_summary()
        | trained
        | {"intervals": report.intervals, "encoder_digest": report.encoder_digest}
    )


def _differences(
    reports: Mapping[str, RetrievalReport], arms: Sequence[str]
) -> dict[str, dict[str, dict[str, float]]]:
    """Paired over the same queries, with intervals clustered by class."""
    baseline, *ablations, candidate = arms
    pairs = [(candidate, other) for other in (baseline, *ablations, PRETRAINED, PRODUCTION)]
    pairs += [(baseline, PRETRAINED)]
    found: dict[str, dict[str, dict[str, float]]] = {}
    for a, b in pairs:
        if a in reports and b in reports:
            found[f"{a}-{b}"] = {m: _difference(reports[a], reports[b], m) for m in COMPARED}
    return found


def _difference(a: RetrievalReport, b: RetrievalReport, metric: str) -> dict[str, float]:
    found = paired_difference(a, b, metric)
    return {"mean": found.mean, "low": found.low, "high": found.high}


def _training(history: "TrainingHistory") -> dict[str, Any]:
    """Of the candidate; rewards are means over the first and the last steps (up to ten)."""
    rates = ("contributing_share", "reward_first", "reward_last", "parsed_share")
    chosen = ("contributing_share_explored", "similarity_shift")
    names = (*rates, *chosen, "accuracy_first", "accuracy_last", "wait_share", "stopped_early")
    ranks = ("rank_wait_share", "rank_wait_share_max")  # of several processes
    told = [*names, *(name for name in ranks if name in history.summary)]
    return {name: history.summary.get(name) for name in told}


def _artifacts(run: Any) -> dict[str, dict[str, Any]]:
    """Version and digest of every output."""
    names = sorted({name for step in run.steps.values() for name in step.outputs})
    found = {}
    for name in names:
        version = artifact(run, name)
        digest = version.run_metadata.get("digest") or version.content_hash
        found[name] = {"version": str(version.version), "digest": digest}
    return found
