"""Settings by dotted name: which differ from their defaults, and which from another run's."""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING
from typing import Any

from pipelines.configuration import SEEDED, RunConfig
from saga.files import canonical_json
from saga.settings.schema import settings_of, within

FOLLOWERS = {"baseline": "training", "baseline_encoder": "encoder"}
"""Sections that are another one with some changes."""


def dotted(settings: Any, path: str = "") -> dict[str, Any]:
    """Nested settings by dotted name; lists stay whole, an empty section stands for itself."""
    if not isinstance(settings, Mapping) or not settings:
        return {path: settings} if path else {}
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= dotted(value, f"{path}.{name}" if path else str(name))
    return found


def chosen(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that are not their default; the baseline's where they are not the candidate's."""
    given = dotted(settings)
    defaults = {s.path: s.default for s in settings_of(RunConfig) if s.default is not MISSING}
    found = {}
    for name, value in given.items():
        leader = _leader(name)
        usual = given.get(leader, defaults.get(name)) if leader else defaults.get(name)
        if canonical_json(value) != canonical_json(_plain(usual)):
            found[name] = value
    return found


def folded(
    changes: Mapping[str, tuple[Any, Any]],
) -> Iterator[tuple[str, tuple[Any, Any], list[str]]]:
    """Changes, each with those that follow from it: the baseline's, and seeds of the run's seed."""
    followers: dict[str, list[str]] = {}
    for name, change in changes.items():
        leader = _leader(name)
        while leader and changes.get(leader) == change and changes.get(_leader(leader)) == change:
            leader = _leader(leader)
        if leader and changes.get(leader) == change:
            followers.setdefault(leader, []).append(name)
    taken = {name for names in followers.values() for name in names}
    for name, change in changes.items():
        if name not in taken:
            yield name, change, followers.get(name, [])


def _leader(name: str) -> str:
    """The setting that this one follows where it names nothing of its own; empty without one."""
    for section, of in FOLLOWERS.items():
        if within(name, section):
            return of + name.removeprefix(section)
    return "seed" if name in {".".join((*path, "seed")) for path in SEEDED} else ""


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
