"""The lineage as a tree of text, and as changes between two; without colours unless asked."""

import io
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipelines.lineage.diff import SECTIONS, unchanged
from pipelines.lineage.finding import Finding
from saga.reports.comparison import METRICS
from saga.reports.lineage import Section
from saga.reports.page import percent, points, visible
from saga.settings.describe import plain

STYLES = {"PASS": "green", "FAIL": "red", "ERROR": "red", "INCONCLUSIVE": "yellow"}
ENDLESS = 100_000
"""Columns of a pipe: lines stay whole."""


def tree(facts: Mapping[str, Any], sections: Sequence[Section], terminal: bool) -> str:
    """A lineage.

    Args:
        facts: from `collect`.
        sections: from `outline`.
        terminal: with colours, and wrapped to the width of the terminal.
    """
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    stage = f", in {facts['stage']}" if facts["stage"] else ""
    head = f"{facts['model']}:{facts['version']}{stage}, registered {facts['registered']}"
    root = Tree(Text(line(head), "bold"), guide_style="dim")
    for section in sections:
        branch = root.add(Text(line(section.title), STYLES.get(section.state, "bold")))
        for label, value in section.rows:
            branch.add(Text.assemble((f"{line(label)}: ", "dim"), line(value)))
    for text in facts["problems"]:
        root.add(Text(f"note: {line(text)}", "yellow"))
    out = io.StringIO()
    width = shutil.get_terminal_size().columns if terminal else ENDLESS
    Console(
        file=out,
        force_terminal=terminal,
        color_system="standard" if terminal else None,
        width=width,
        legacy_windows=False,
    ).print(root)
    return "\n".join(text.rstrip() for text in out.getvalue().splitlines())


def verification(findings: Sequence[Finding]) -> str:
    """What was checked: everything that is not as recorded, and how much is."""
    return "\n".join(_verification(findings))


def changes(found: Mapping[str, Any]) -> str:
    """A diff in words."""
    return "\n".join(_changes(found))


def line(text: Any, indent: int = 0) -> str:
    """Text from outside on one line, with letters that would steer the terminal shown."""
    return " " * indent + " ".join(str(visible(str(text))).split())


def _verification(findings: Sequence[Finding]) -> Iterator[str]:
    for state in ("altered", "unchecked"):
        for finding in findings:
            if finding.state == state:
                yield f"{state}: {line(finding.what)}: {line(finding.detail)}"
    counts = {s: sum(f.state == s for f in findings) for s in ("ok", "altered", "unchecked")}
    unchecked = f", {counts['unchecked']} could not be checked" if counts["unchecked"] else ""
    yield f"verified: {counts['ok']} as recorded, {counts['altered']} altered{unchecked}"


def _changes(found: Mapping[str, Any]) -> Iterator[str]:
    yield line(f"{found['model']}: version {found['from']} → version {found['to']}")
    if found["same_encoder"]:
        yield "The encoders are the same, bit by bit."
    if unchanged(found):
        yield "Data, pairs, supervisor, settings, code, packages and hardware are the same."
    for name in (*SECTIONS, "settings", "policy"):
        if found[name]:
            yield name
        for row in found[name]:
            also = f" (and with it {', '.join(row['also'])})" if row.get("also") else ""
            yield line(f"{row['name']}: {_value(row['from'])} → {_value(row['to'])}{also}", 2)
    yield "unseen classes, %" + ("" if found["same_data"] else "; the data differ")
    for row in found["metrics"]:
        label = METRICS.get(row["name"], row["name"])
        was, now = percent(row["from"]), percent(row["to"])
        yield line(f"{label}: {was} → {now} ({points(row['delta'])})", 2)
    if found["gates"]:
        yield "gates"
    for row in found["gates"]:
        yield line(f"{row['name']}: {_value(row['from'])} → {_value(row['to'])}", 2)


def _value(value: Any) -> str:
    return "nothing" if value is None else plain(value)
