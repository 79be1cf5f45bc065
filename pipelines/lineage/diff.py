"""What changed between two versions of a model."""

from collections.abc import Mapping
from typing import Any

from pipelines.lineage.settings import dotted, folded
from saga.files import canonical_json

SECTIONS = ("dataset", "validation", "pairs", "supervisor", "code", "packages", "hardware")
"""Compared name by name, under these names in the answer."""
UNCOMPARED = {"artifact"}
"""Differs between any two runs."""


def diff(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Changes from one lineage to another; a section without any is an empty list.

    Args:
        before: from `collect`.
        after: likewise.
    """
    found: dict[str, Any] = {
        "model": after["model"],
        "from": before["version"],
        "to": after["version"],
        "same_encoder": before["encoder"]["digest"] == after["encoder"]["digest"],
        "same_data": _digest(before, "dataset") == _digest(after, "dataset"),
    }
    found |= {name: _changes(_section(before, name), _section(after, name)) for name in SECTIONS}
    changed = _changed(dotted(before["settings"]), dotted(after["settings"]))
    found["settings"] = [
        {"name": name, "from": old, "to": new, "also": also}
        for name, (old, new), also in folded(changed)
    ]
    policies = [dotted(_listed(facts["policy"])) for facts in (before, after)]
    found["policy"] = _rows(_changed(*policies))
    found["metrics"] = _metrics(before, after)
    found["gates"] = _rows(_changed(_gates(before), _gates(after)))
    return found


def unchanged(found: Mapping[str, Any]) -> bool:
    """Whether nothing that decides an encoder differs."""
    return not any(found[name] for name in (*SECTIONS, "settings", "policy"))


def _section(facts: Mapping[str, Any], name: str) -> dict[str, Any]:
    if name == "packages":
        training = facts["training"]
        return dict(training["versions"]) | {"python": training["python"]}
    if name == "hardware":
        return dict(facts["training"]["hardware"] or {})
    return dict(facts[name] or {})


def _digest(facts: Mapping[str, Any], name: str) -> Any:
    return (facts[name] or {}).get("digest")


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [r for r in _rows(_changed(before, after)) if r["name"] not in UNCOMPARED]


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Names whose values differ, in the order of the later version; None where one lacks it."""
    names = dict.fromkeys([*after, *before])
    pairs = {name: (before.get(name), after.get(name)) for name in names}
    return {n: p for n, p in pairs.items() if canonical_json(p[0]) != canonical_json(p[1])}


def _rows(changed: Mapping[str, tuple[Any, Any]]) -> list[dict[str, Any]]:
    return [{"name": n, "from": old, "to": new} for n, (old, new) in changed.items()]


def _metrics(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every figure of the encoders, changed or not."""
    old, new = (facts["metrics"].get("encoder", {}) for facts in (before, after))
    rows = []
    for name in dict.fromkeys([*new, *old]):
        a, b = old.get(name), new.get(name)
        delta = None if a is None or b is None else b - a
        rows.append({"name": name, "from": a, "to": b, "delta": delta})
    return rows


def _gates(facts: Mapping[str, Any]) -> dict[str, str]:
    return {gate["id"]: gate["status"] for gate in (facts["gate"] or {}).get("gates", [])}


def _listed(policy: Any) -> Any:
    """A policy whose gates are known by their id, so that one more does not change all others."""
    if isinstance(policy, Mapping) and isinstance(policy.get("gates"), list):
        named = {str(g.get("id")): g for g in policy["gates"] if isinstance(g, Mapping)}
        return dict(policy) | {"gates": named}
    return policy
