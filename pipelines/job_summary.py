"""A promotion in CI, told to people: what `saga promote --json` said, and what the gates had said.

    python -m pipelines.job_summary outcome.json birds 7 production >>"$GITHUB_STEP_SUMMARY"

Markdown as GitHub renders it. Every mark in a text from outside becomes an entity, which it never takes
for Markdown, HTML, a formula or an address.
"""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saga.reports.page import visible

if TYPE_CHECKING:
    from saga.gates.decision import GateDecision

Facts = Mapping[str, Any]
MOST = 2000
"""Letters of a text; GitHub refuses a summary of more than a megabyte."""
PLAIN = frozenset(" ,%")
WORDS = {
    "ok": "promoted",
    "refused": "refused",
    "error": "not tried, because the request is wrong",
    "failed": "failed",
    "interrupted": "interrupted",
}
SIGNS = {"PASS": "✓", "FAIL": "✗", "INCONCLUSIVE": "?", "ERROR": "!"}
NO_ANSWER = "saga promote left no answer that can be read; the log of its step says why."


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asked for."""

    model: str
    version: str
    """Number, or staging or latest."""
    stage: str
    who: str


def job_summary(
    asked: Asked, outcome: Facts, decision: "GateDecision | None" = None, unread: str = ""
) -> str:
    """Markdown of a promotion that was done or refused.

    Args:
        asked: for what.
        outcome: the JSON object of `saga promote`; empty where there was none.
        decision: what the version holds.
        unread: why there is no decision.
    """
    record = _mapping(outcome.get("record"))
    version = record.get("to_version", asked.version)
    word = WORDS.get(str(outcome.get("status")), "no answer")
    if outcome.get("already"):
        word = "there already, on the same evidence; nothing was changed"
    blocks = [f"## {literal(f'{asked.model}:{version} to {asked.stage}')}: {word}"]
    if not record:
        blocks.append("\n".join(_message(outcome)))
    blocks.append(_table(("", ""), _facts(asked, outcome, record)))
    if decision is None:
        blocks.append(f"The gates: {literal(unread)}")
    else:
        blocks += _decision(decision)
    return "\n\n".join(blocks) + "\n"


def literal(text: Any) -> str:
    """A text as it is written, on one line, cut where it is very long."""
    line = " ".join(str(visible(str(text))).split())
    if len(line) > MOST:
        line = f"{line[:MOST]} …"
    return "".join(
        f"&#{ord(letter)};"
        if letter.isascii() and not letter.isalnum() and letter not in PLAIN
        else letter
        for letter in line
    )


def read_outcome(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return dict(_mapping(found))


def held_decision(model: str, version: str) -> tuple["GateDecision | None", str]:
    """The checked decision of a version, or None and why."""
    try:
        from pipelines.registry import DECISION, existing_model, load_checked, model_version

        artifact = model_version(existing_model(model), version).get_artifact(DECISION)
        if artifact is None:
            return None, "the version holds no decision."
        return load_checked(artifact), ""
    except Exception as error:  # noqa: BLE001 - whatever it is, the outcome is still to be told
        return None, f"the decision cannot be read: {error}"


def _message(outcome: Facts) -> Iterator[str]:
    """Lines of the message; its list of reasons stays a list."""
    lines = str(outcome.get("message") or NO_ANSWER).splitlines()
    for line in lines:
        text = line.strip()
        if text:
            yield f"- {literal(text[2:])}" if text.startswith("- ") else f"{literal(text)}\n"


def _facts(asked: Asked, outcome: Facts, record: Facts) -> Iterator[tuple[str, str]]:
    yield "asked by", literal(record.get("who", asked.who))
    if not record:
        return
    yield "audit", literal(f"record {record.get('number')}, {record.get('at')}")
    before = record.get("from_version")
    yield "instead of", literal("nothing: the first there" if before is None else before)
    if record.get("reason"):
        yield "reason", literal(record["reason"])
    if outcome.get("reindex_gallery"):
        yield "to do", "index the gallery anew, with this encoder"


def _decision(decision: "GateDecision") -> Iterator[str]:
    yield f"### Gates: {SIGNS[decision.status]} {decision.status}"
    yield _table(
        ("gate", "outcome", "effect", "why"),
        (
            (literal(g.id), f"{SIGNS[g.status]} {g.status}", str(g.effect), literal(g.reason))
            for g in decision.gates
        ),
    )
    digests = {
        "encoder": decision.encoder_digest,
        "dataset": decision.dataset_digest,
        f"policy {decision.policy}": decision.policy_digest,
        "retrieval report": decision.report_digest,
        **{f"{role} encoder": r.encoder_digest for role, r in decision.references.items()},
        **decision.evidence,
        "decision": decision.digest,
    }
    yield "### Digests of what was judged"
    yield _table(("", ""), ((literal(n), literal(digest)) for n, digest in digests.items()))


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = tuple(head)
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _mapping(value: Any) -> Facts:
    return value if isinstance(value, Mapping) else {}


def main(arguments: list[str] | None = None) -> None:
    """Write the summary to stdout."""
    parser = ArgumentParser(prog="python -m pipelines.job_summary", description=job_summary.__doc__)
    parser.add_argument("outcome", type=Path, help="file with what `saga promote --json` said")
    for name in ("model", "version", "stage"):
        parser.add_argument(name)
    given = parser.parse_args(arguments)
    with redirect_stdout(sys.stderr):
        from pipelines.promotion.moving import actor

        outcome = read_outcome(given.outcome)
        version = _mapping(outcome.get("record")).get("to_version", given.version)
        decision, unread = held_decision(given.model, str(version))
    asked = Asked(given.model, given.version, given.stage, actor())
    sys.stdout.write(job_summary(asked, outcome, decision, unread))


if __name__ == "__main__":
    main()
