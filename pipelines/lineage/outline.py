"""The lineage for readers: headings with rows of text. The terminal's tree and the page show them."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.lineage.settings import chosen, dotted
from saga.reports.comparison import METRICS
from saga.reports.lineage import Section
from saga.reports.page import duration, percent
from saga.settings.describe import plain

UNKNOWN = "not recorded"
GIGABYTE = 1 << 30
Rows = Iterator[tuple[str, str]]


def outline(facts: Mapping[str, Any], whole: bool = False) -> list[Section]:
    """Sections of a lineage.

    Args:
        facts: from `collect`.
        whole: every setting, not only those that are not their default.
    """
    settings = dotted(facts["settings"])
    shown = settings if whole else chosen(facts["settings"])
    title = "settings" if whole else f"settings ({len(shown)} of {len(settings)} not the default)"
    gate = facts["gate"] or {}
    return [
        Section("encoder", tuple(_encoder(facts))),
        Section("dataset", tuple(_dataset(facts["dataset"]))),
        Section("validation", tuple(_validation(facts["validation"]))),
        Section("pairs", tuple(_pairs(facts["pairs"]))),
        Section("supervisor", tuple(_supervisor(facts["supervisor"]))),
        Section(title, tuple((name, plain(value)) for name, value in shown.items())),
        Section("code", tuple(_code(facts["code"]))),
        Section("environment of the training", tuple(_environment(facts["training"]))),
        Section("run", tuple(_run(facts["run"]))),
        Section("steps", tuple((s["name"], _step(s)) for s in facts["steps"])),
        Section("unseen classes, %", tuple(_metrics(facts["metrics"]))),
        Section("gates", tuple(_gates(facts["gate"])), str(gate.get("status", ""))),
        Section("promotions", tuple(_promotions(facts))),
        Section("used by", tuple(_uses(facts))),
    ]


def _encoder(facts: Mapping[str, Any]) -> Rows:
    encoder, training = facts["encoder"], facts["training"]
    yield "digest", encoder["digest"]
    yield "size", f"{encoder['embedding_dim']} dimensions, {encoder['parameters']:,} parameters"
    reused = ", reused by this run" if training["reused"] else ""
    yield "trained", f"{training['step']} of {training['run']}, {_when(training)}{reused}"


def _dataset(data: Mapping[str, Any] | None) -> Rows:
    if data is None:
        yield "dataset", UNKNOWN
        return
    yield "name", f"{data['name']} ({data['layout']})"
    yield "digest", str(data["digest"])
    parts = [
        f"{split} {data[f'{split}_images']} of {data[f'{split}_classes']} classes"
        for split in ("train", "validation", "test")
        if data[f"{split}_images"]
    ]
    yield "images", f"{data['images']}: {', '.join(parts)}"


def _validation(found: Mapping[str, Any] | None) -> Rows:
    if found is None:
        yield "outcome", UNKNOWN
        return
    outcome = "passed" if found["success"] else "failed"
    yield "outcome", f"{outcome}, {found['expectations']} expectations"
    for name in ("failed", "warnings"):
        if found[name]:
            yield name, ", ".join(map(str, found[name]))


def _pairs(pairs: Mapping[str, Any] | None) -> Rows:
    if pairs is None:
        yield "pairs", UNKNOWN
        return
    share = percent(pairs["same_share"])
    yield "pairs", f"{pairs['pairs']}, {share} % of one class, {pairs['hard_pairs']} hard"
    yield "mining", f"{pairs['strategy']}, seed {pairs['seed']}"
    yield "digest", str(pairs["digest"])


def _supervisor(found: Mapping[str, Any]) -> Rows:
    yield "name", str(found["name"])
    yield "digest", found["digest"] or UNKNOWN
    yield "prompt", f"{found['prompt']}, digest {found['prompt_digest'] or UNKNOWN}"


def _code(code: Mapping[str, Any]) -> Rows:
    tree = {True: ", with changes that are not committed", False: ", clean"}
    dirty = tree.get(code["git_dirty"], ", whether clean was not recorded")
    yield "commit", f"{code['git_commit'] or UNKNOWN}{dirty}"
    yield "digest", code["digest"] or UNKNOWN


def _environment(training: Mapping[str, Any]) -> Rows:
    packages = ", ".join(f"{name} {version}" for name, version in training["versions"].items())
    yield "packages", packages or UNKNOWN
    yield "python", training["python"] or UNKNOWN
    hardware = training["hardware"]
    yield "hardware", hardware_text(hardware) if hardware else UNKNOWN
    yield "recorded by", training["recorded_by"] or "nobody"


def hardware_text(hardware: Mapping[str, Any]) -> str:
    """Processor, memory and GPUs in one line."""
    gpus = hardware.get("gpus") or []
    parts = [
        f"{hardware.get('processor')}, {hardware.get('cores')} cores",
        f"{_gigabytes(hardware.get('memory_bytes'))} of memory",
        *(f"{gpu.get('name')} ({_gigabytes(gpu.get('memory_bytes'))})" for gpu in gpus),
    ]
    return ", ".join(parts if gpus else [*parts, "no GPU"])


def _run(run: Mapping[str, Any]) -> Rows:
    yield "id", run["id"]
    yield "outcome", f"{run['status']}, {_when(run)}"
    if run["command"]:
        yield "command", run["command"]


def _step(step: Mapping[str, Any]) -> str:
    if step["status"] == "reused":
        return f"reused from {step['reused_from'] or 'a run that was deleted'}"
    taken = duration(step["seconds"])
    return taken if step["status"] == "completed" else f"{step['status']}, {taken}"


def _metrics(metrics: Mapping[str, Mapping[str, float]]) -> Rows:
    names = sorted(metrics, key=lambda name: name != "encoder")
    for name in names:
        figures = metrics[name]
        shown = [f"{label} {percent(figures[m])}" for m, label in METRICS.items() if m in figures]
        yield ("this encoder" if name == "encoder" else name), ", ".join(shown)


def _gates(gate: Mapping[str, Any] | None) -> Rows:
    if gate is None:
        yield "decision", "its gates were never asked"
        return
    yield "decision", f"{gate['status']}: {gate['reason']}"
    yield "policy", f"{gate['policy']}, digest {gate['policy_digest']}"
    for one in gate["gates"]:
        yield one["id"], f"{one['status']}: {one['reason']}"


def _promotions(facts: Mapping[str, Any]) -> Rows:
    for move in facts["promotions"]:
        way = f"{move['from_version'] or 'nothing'} → {move['to_version']}"
        reason = f": {move['reason']}" if move["reason"] else ""
        text = f"{move['action']} to {move['stage']}, {way}, by {move['who']}, {move['phase']}"
        yield f"{move['number']}, {move['at']}", f"{text}{reason}"
    if not facts["promotions"]:
        yield "audit", "never promoted"


def _uses(facts: Mapping[str, Any]) -> Rows:
    for use in facts["consumers"]:
        own = "its own run" if use["own"] else str(use["pipeline"])
        made = f", made {use['model']}:{use['version']}" if use["model"] and not use["own"] else ""
        yield use["run"], f"{own}{made}: {', '.join(use['steps'])}"
    if not facts["consumers"]:
        yield "runs", "none"


def _when(timed: Mapping[str, Any]) -> str:
    return f"{timed['started'] or 'at an unknown time'}, {duration(timed['seconds'])}"


def _gigabytes(size: Any) -> str:
    return f"{size / GIGABYTE:.0f} GiB" if isinstance(size, int) else "?"
