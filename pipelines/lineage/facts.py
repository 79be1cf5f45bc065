"""Everything about where a version came from and what used it, as one JSON object."""

from collections.abc import Mapping
from typing import Any

from pipelines.lineage.consumers import consumers, moment
from pipelines.lineage.opening import ForeignError, opened
from pipelines.lineage.recorded import recorded
from pipelines.lineage.trace import REUSED, Kept, Trace
from pipelines.registry import PRODUCTION, in_stage
from pipelines.trainjobs.recording import TRAIN_JOB
from saga.errors import RefusedError, UserInputError
from saga.files import digest_of

OWN = "from_"
"""Begins the names under which an encoder's metadata holds its provenance."""
METRICS = ("recall_at_", "map_at_r", "nmi")
SPLITS = ("train", "validation", "test")


def collect(trace: Trace) -> dict[str, Any]:
    """The lineage of a version.

    `problems` says what could not be found out, or does not fit; nothing is recomputed here.
    """
    subject, problems = trace.subject, list[str]()
    facts: dict[str, Any] = {
        "model": subject.model.name,
        "version": subject.version.number,
        "stage": _stage(subject.version.stage),
        "registered": moment(subject.version.created),
        "encoder": _encoder(trace.encoder),
        "dataset": _dataset(trace.source("DatasetManifest")),
        "validation": _validation(trace.source("ValidationReport")),
        "pairs": _pairs(trace.source("PairSet")),
        "supervisor": _supervisor(trace),
        "code": _code(trace, problems),
        "run": _run(trace),
        "training": _training(trace, problems),
        "settings": trace.settings,
        "settings_digest": digest_of(trace.settings),
        "policy": trace.given.get("policy"),
        "steps": [_step(trace, name) for name in trace.steps],
        "artifacts": {key: _artifact(trace, kept) for key, kept in trace.kept.items()},
        "metrics": _metrics(trace),
        "gate": _gate(trace, problems),
        "promotions": promotions(trace, problems),
        "consumers": _consumers(trace),
    }
    return facts | {"problems": problems}


def promotions(trace: Trace, problems: list[str]) -> list[dict[str, Any]]:
    """Records of the audit that moved this version in or out of a stage, oldest first."""
    from pipelines.promotion.audit import read_audit

    number = trace.subject.version.number
    live = [version.number for version in in_stage(trace.subject.model, PRODUCTION)]
    if len(live) > 1:
        problems.append(f"Versions {' and '.join(map(str, live))} are in production at once.")
    try:
        records = read_audit(trace.subject.model.name)
    except RefusedError as error:
        problems.append(str(error))
        return []
    moves = (record.to_dict() for record in records)
    return [m for m in moves if number in (m["to_version"], m["from_version"])]


def _stage(stage: Any) -> str | None:
    """A version that left its stage has the stage "none"."""
    return None if stage in (None, "none") else str(stage)


def _encoder(kept: Kept) -> dict[str, Any]:
    facts = kept.facts
    return {
        "artifact": kept.key,
        "digest": kept.digest,
        "embedding_dim": facts.get("embedding_dim"),
        "parameters": facts.get("parameters"),
        "bytes": facts.get("storage_size"),
        "provenance": provenance(facts),
    }


def provenance(facts: Mapping[str, Any]) -> dict[str, str]:
    """What an encoder says that it came from, by its metadata."""
    return {n.removeprefix(OWN): str(v) for n, v in sorted(facts.items()) if n.startswith(OWN)}


def _dataset(kept: Kept | None) -> dict[str, Any] | None:
    if kept is None:
        return None
    counts = {f"{split}_{what}" for split in SPLITS for what in ("images", "classes")}
    names = ("name", "digest", "layout", "images", *sorted(counts), "class_list_digest")
    return {"artifact": kept.key} | {name: kept.facts.get(name) for name in names}


def _validation(kept: Kept | None) -> dict[str, Any] | None:
    if kept is None:
        return None
    names = ("success", "expectations", "failed", "warnings", "digest")
    return {"artifact": kept.key} | {name: kept.facts.get(name) for name in names}


def _pairs(kept: Kept | None) -> dict[str, Any] | None:
    if kept is None:
        return None
    names = ("pairs", "strategy", "seed", "same_share", "hard_pairs", "digest")
    return {"artifact": kept.key} | {name: kept.facts.get(name) for name in names}


def _supervisor(trace: Trace) -> dict[str, Any]:
    section = trace.settings.get("supervisor") or {}
    made = provenance(trace.encoder.facts)
    return {
        "name": section.get("model"),
        "digest": made.get("supervisor"),
        "prompt": section.get("prompt"),
        "prompt_digest": made.get("prompt"),
    }


def _code(trace: Trace, problems: list[str]) -> dict[str, Any]:
    """Of the training: an encoder knows the commit, its run whether the tree was clean."""
    made = provenance(trace.encoder.facts)
    run, step = trace.producer(trace.encoder)
    known = recorded(run, step).environment
    commit = made.get("git_commit") or known.get("git_commit")
    if known.get("git_commit") not in (None, commit):
        problems.append(
            f"The encoder says commit {commit}, and its run {run.name} recorded "
            f"{known['git_commit']}."
        )
    if known.get("git_dirty"):
        problems.append(
            "The code had changes that are not committed: the commit alone does not make it again."
        )
    return {"git_commit": commit, "git_dirty": known.get("git_dirty"), "digest": made.get("code")}


def _run(trace: Trace) -> dict[str, Any]:
    run = trace.run
    return _timed(run) | {
        "id": run.name,
        "status": str(run.status),
        "command": recorded(run).command,
    }


def _training(trace: Trace, problems: list[str]) -> dict[str, Any]:
    """Where the encoder was really made."""
    run, step = trace.producer(trace.encoder)
    known = recorded(run, step)
    if known.source is None:
        problems.append(
            f"Package versions and hardware of {run.name} were not recorded, and its summary is not "
            "below the folder that you are in."
        )
    elif not known.hardware:
        problems.append(f"The hardware of {run.name} was not recorded.")
    made = step or run
    here = {"run": run.name, "step": made.name, "reused": run.id != trace.run.id}
    return here | _timed(made) | known.to_dict()


def _step(trace: Trace, name: str) -> dict[str, Any]:
    step = trace.steps[name]
    taken = {k: [Kept(v, "").key for v in _listed(vs)] for k, vs in step.inputs.items()}
    given = [Kept(v, "").key for vs in step.outputs.values() for v in _listed(vs)]
    reused = str(step.status) == REUSED
    status = {
        "status": "reused" if reused else str(step.status),
        "reused_from": trace.original(name) if reused else None,
    }
    spread = step.run_metadata.get(TRAIN_JOB)
    more = {"train_job": dict(spread)} if isinstance(spread, dict) else {}
    return {"name": name} | status | _timed(step) | {"inputs": taken, "outputs": given} | more


def _artifact(trace: Trace, kept: Kept) -> dict[str, Any]:
    return {
        "name": kept.response.name,
        "version": str(kept.response.version),
        "kind": kept.kind,
        "digest": kept.digest or None,
        "step": kept.step or None,
        "made_here": kept.response.producer_pipeline_run_id == trace.run.id,
        "created": moment(kept.response.created),
    }


def _metrics(trace: Trace) -> dict[str, dict[str, float]]:
    """Of every report, by the name of its output; the encoder's own under "encoder"."""
    found = {}
    for kept in trace.of_kind("RetrievalReport"):
        figures = {n: v for n, v in kept.facts.items() if n.startswith(METRICS)}
        figures = dict(sorted(figures.items(), key=lambda figure: _place(figure[0])))
        own = kept.facts.get("encoder_digest") == trace.encoder.digest
        first = own and "encoder" not in found
        found["encoder" if first else kept.response.name.removeprefix("report_")] = figures
    return found


def _place(metric: str) -> tuple[int, int, str]:
    """Of a metric among others: recall by its K first."""
    order = next(i for i, name in enumerate(METRICS) if metric.startswith(name))
    return order, len(metric), metric


def _gate(trace: Trace, problems: list[str]) -> dict[str, Any] | None:
    kept = trace.decision()
    if kept is None:
        return None
    names = ("status", "reason", "policy", "policy_digest", "digest")
    facts = {"artifact": kept.key} | {name: kept.facts.get(name) for name in names}
    try:
        decision, _ = opened(kept)
        gates = decision.to_summary()["gates"]
    except (ForeignError, UserInputError, OSError) as error:
        problems.append(f"The gate decision cannot be read: {error}")
        gates = []
    return facts | {"gates": gates}


def _consumers(trace: Trace) -> list[dict[str, Any]]:
    found = consumers(trace.encoder.response)
    return [use | {"own": use["run"] == trace.run.name} for use in found]


def _timed(thing: Any) -> dict[str, Any]:
    """When a run or step began, and how many seconds it took."""
    both = thing.start_time and thing.end_time
    seconds = round((thing.end_time - thing.start_time).total_seconds(), 2) if both else None
    return {"started": moment(thing.start_time), "seconds": seconds}


def _listed(versions: Any) -> list[Any]:
    return versions if isinstance(versions, list) else [versions]
