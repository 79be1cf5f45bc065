"""What runs recorded of themselves, against itself and against the database."""

from typing import Any

from pipelines.lineage.contents import SHOWN
from pipelines.lineage.finding import Finding
from pipelines.lineage.recording import FILES, RUN_FACTS, STEP_FACTS, seal_holds
from pipelines.lineage.trace import Trace
from saga.files import digest_of


def check_record(trace: Trace) -> list[Finding]:
    """The records of the run, of the training, and of every run that artifacts were reused from."""
    _, trained = trace.producer(trace.encoder)
    findings = []
    if trained is not None:
        findings += _seal(trained.run_metadata.get(STEP_FACTS), f"record of step {trained.name}")
    makers = {run.id: run for run, _ in map(trace.producer, trace.kept.values())}
    for run in (makers | {trace.run.id: trace.run}).values():
        facts, name = run.run_metadata.get(RUN_FACTS), f"record of {run.name}"
        if not isinstance(facts, dict):
            findings.append(Finding(name, "unchecked", "the run left no record of itself."))
            continue
        own = trace.run.id == run.id
        wrong = _seal(facts, name)
        wrong += [Finding(name, "altered", text) for text in _contradictions(trace, facts, own)]
        text = "it agrees with itself and with the database"
        findings += wrong or [Finding(name, "ok", text)]
    return findings


def _seal(facts: Any, name: str) -> list[Finding]:
    if facts is None or (isinstance(facts, dict) and seal_holds(facts)):
        return []
    text = "its digest differs from its content: environment, hardware or settings were edited."
    return [Finding(name, "altered", text)]


def _contradictions(trace: Trace, facts: dict[str, Any], own: bool) -> list[str]:
    """Where the database says something else now.

    Args:
        trace: of the version.
        facts: what a run recorded.
        own: whether it is the version's own run, and not one that artifacts were reused from.
    """
    found = []
    if own and facts.get("settings") != digest_of(trace.given.get("run")):
        found.append("the configuration in the database is not the one that ran.")
    for key, was in _mapping(facts.get("artifacts")).items():
        kept = trace.kept.get(key)
        now = (kept.digest or kept.response.content_hash) if kept else None
        if now != was and (own or kept is not None):
            there = f"{str(now)[:SHOWN]} is there now" if now else "it is not there"
            found.append(f"{key} was {str(was)[:SHOWN]} when the run ended; {there}.")
    for key, was in _mapping(facts.get("stored")).items():
        kept = trace.kept.get(key)
        if kept is not None and digest_of(kept.facts.get(FILES)) != was:
            found.append(f"the digests of the files of {key} are not those that it recorded.")
    return found


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
