"""`--set a.b=c`: one setting changed from the command line."""

from typing import Any

from saga.settings.merging import merged
from saga.settings.strict_yaml import MAX_BYTES, parse
from saga.settings.typed import Problems

MAX_DEPTH = 16
"""Names between dots; no setting is nested half as deep."""


def apply_override(raw: dict[str, Any], text: str, problems: Problems) -> None:
    """Set one value in plain settings; whether it is allowed is seen when they are built.

    Args:
        raw: changed in place.
        text: "dotted.name=value"; the value is YAML, so [1, 2] is a list and nothing is null.
        problems: collects what cannot be read, and learns where the value came from.
    """
    dotted, separator, value = text.partition("=")
    dotted = dotted.strip()
    problems.origins[dotted] = f"--set {text[:100]}"
    names = dotted.split(".")
    if not separator or not all(names) or len(names) > MAX_DEPTH or len(text) > MAX_BYTES:
        problems.add(dotted, "write it as --set name=value, for example --set training.steps=10.")
        return
    try:
        parsed = parse(value)
    except ValueError as error:
        problems.add(dotted, f"the value cannot be read as YAML: {error}.")
        return
    section: Any = raw
    for depth, name in enumerate(names[:-1], start=1):
        section = section.setdefault(name, {})
        if not isinstance(section, dict):
            problems.add(dotted, f"{'.'.join(names[:depth])} is one value, not a section.")
            return
    old = section.get(names[-1])
    both = isinstance(old, dict) and isinstance(parsed, dict)
    section[names[-1]] = merged(old, parsed) if both else parsed
