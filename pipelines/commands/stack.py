"""`saga stack`: register a stack; say what its cluster lacks."""

from collections.abc import Sequence

from pipelines.answer import INPUT, Answer
from pipelines.stacks.checks.finding import Finding
from pipelines.stacks.configuration import StackConfig, load_stack, stack_path

MARKS = {"blocks": "missing", "warns": "warning", "tells": "note"}
ORDER = ("blocks", "warns", "tells")


def main(action: str, file: str) -> Answer:
    """Apply or check a stack."""
    source, stack = str(stack_path(file)), load_stack(file)
    return apply(stack, source) if action == "apply" else check(stack, source)


def apply(stack: StackConfig, source: str) -> Answer:
    """Register a stack, or bring it up to date; a second time nothing changes."""
    from pipelines.stacks.components import apply_stack, choose_store

    choose_store(stack)
    done = apply_stack(stack)
    lines = [f"{kind}: {what}" for kind, what in done.components.items()]
    lines.append(f"stack {done.name}: {done.stack}")
    if not done.components:
        lines = [f"{source}: this machine needs no registration; nothing was changed."]
    else:
        lines += ["", f"Run on it: saga run --stack {source}"]
    facts = {
        "stack": done.name,
        "file": source,
        "changed": done.changed,
        "components": done.components,
        "registration": done.stack,
    }
    return Answer(facts, "\n".join(lines))


def check(stack: StackConfig, source: str) -> Answer:
    """Say everything that a run would lack."""
    from pipelines.stacks.checks.all import check_stack

    return told(check_stack(stack), stack.name, source)


def told(findings: Sequence[Finding], name: str, source: str) -> Answer:
    """The findings, what blocks first."""
    ordered = sorted(findings, key=lambda finding: ORDER.index(finding.level))
    blocking = sum(finding.level == "blocks" for finding in ordered)
    lines = [f"{MARKS[f.level]}: {source}: {f.key}: {f.message}" for f in ordered]
    end = (
        f"{blocking} of these must be put right before a run."
        if blocking
        else f"The stack {name} is ready."
    )
    facts = {
        "stack": name,
        "file": source,
        "ready": not blocking,
        "findings": [finding.to_dict() for finding in ordered],
    }
    text = "\n".join([*lines, *([""] if lines else []), end])
    return Answer(facts, text, INPUT if blocking else 0, problem=bool(blocking))
