"""The page of an encoder's lineage: the graph of what it came from, and every fact in tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saga.reports.graph import Box, Drawing, drawn
from saga.reports.page import render

SHOWN = 12
"""Digits of a digest in a box."""
USES_DRAWN = 6
LEFT_OUT = ("TrainingHistory", "HTMLString")
"""Kinds of artifacts that nothing comes from; the table has them."""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and its rows."""

    title: str
    rows: tuple[tuple[str, str], ...]
    state: str = ""
    """"PASS", "FAIL", …: the colour of the heading in a terminal."""


def lineage_page(
    facts: Mapping[str, Any],
    sections: Sequence[Section],
    findings: Sequence[Mapping[str, str]] | None = None,
) -> str:
    """HTML of a lineage.

    Args:
        facts: as `saga lineage --json` says them.
        sections: the same for readers.
        findings: of `--verify` (what, state, detail); None where nothing was recomputed.
    """
    altered = [f for f in findings or () if f["state"] == "altered"]
    return render(
        "lineage.html.jinja",
        facts=facts,
        name=f"{facts['model']}:{facts['version']}",
        graph=lineage_graph(facts),
        sections=sections,
        findings=findings,
        altered=altered,
        artifacts=facts["artifacts"],
    )


def lineage_graph(facts: Mapping[str, Any]) -> Drawing:
    """What led to the encoder and its decision, where it is in use, and what used it."""
    artifacts, steps = facts["artifacts"], facts["steps"]
    sources = {out: _inputs(step) for step in steps for out in step["outputs"]}
    subject = facts["encoder"]["artifact"]
    decision = (facts["gate"] or {}).get("artifact")
    wanted = _closure(subject, sources) | (_closure(decision, sources) if decision else set())
    drawable = [k for k in artifacts if k in wanted and artifacts[k]["kind"] not in LEFT_OUT]
    reused = {out for step in steps if step["reused_from"] for out in step["outputs"]}
    boxes = [_box(key, artifacts[key], subject, key in reused) for key in drawable]
    lines = [(source, key) for key in drawable for source in sources.get(key, ())]
    for box, of in _given(facts, drawable):
        boxes.append(box)
        lines += [(box.id, key) for key in of]
    for box in _uses(facts):
        boxes.append(box)
        last = decision if decision and box.id == "stage" else subject
        lines.append((last, box.id))
    return drawn(boxes, lines)


def _inputs(step: Mapping[str, Any]) -> list[str]:
    return [key for keys in step["inputs"].values() for key in keys]


def _closure(key: str, sources: Mapping[str, Sequence[str]]) -> set[str]:
    """An artifact and everything that it came from."""
    found, waiting = set(), [key]
    while waiting:
        here = waiting.pop()
        if here not in found:
            found.add(here)
            waiting += sources.get(here, ())
    return found


def _box(key: str, artifact: Mapping[str, Any], subject: str, reused: bool) -> Box:
    kind = "subject" if key == subject else "artifact"
    step = f"{artifact['step'] or 'another run'}{', reused' if reused else ''}"
    return Box(key, key, ((artifact["digest"] or "")[:SHOWN], step), kind)


def _given(facts: Mapping[str, Any], drawable: Sequence[str]) -> list[tuple[Box, list[str]]]:
    """Supervisor, settings and code, and the artifacts that they decide."""
    trained = [facts["encoder"]["artifact"]]
    supervisor, code = facts["supervisor"], facts["code"]
    clean = {True: "with changes", False: "clean"}.get(code["git_dirty"], "")
    boxes = [
        Box(
            "supervisor",
            f"supervisor {supervisor['name']}",
            (str(supervisor["digest"] or "")[:SHOWN], f"prompt {supervisor['prompt']}"),
            "source",
        ),
        Box("settings", "settings", (facts["settings_digest"][:SHOWN],), "source"),
        Box("code", "code", (str(code["git_commit"])[:SHOWN], clean), "source"),
    ]
    return [(box, trained) for box in boxes]


def _uses(facts: Mapping[str, Any]) -> list[Box]:
    """The stage, and runs that used the encoder; the version's own run is in the graph already."""
    boxes = []
    if facts["stage"]:
        moves = [m for m in facts["promotions"] if m["to_version"] == facts["version"]]
        by = (f"since {moves[-1]['at'][:10]}", f"by {moves[-1]['who']}") if moves else ()
        boxes.append(Box("stage", f"in {facts['stage']}", by, "use"))
    others = [use for use in facts["consumers"] if not use["own"]]
    for use in others[:USES_DRAWN]:
        made = f"{use['model']}:{use['version']}" if use["model"] else str(use["pipeline"])
        boxes.append(Box(f"run {use['run']}", use["run"], (made, ", ".join(use["steps"])), "use"))
    if len(others) > USES_DRAWN:
        more = f"{len(others) - USES_DRAWN} more runs"
        boxes.append(Box("more runs", more, ("in the table below",), "use"))
    return boxes
