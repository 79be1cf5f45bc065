"""Nested settings with some of them changed."""

import copy
from collections.abc import Mapping
from typing import Any


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of nested settings with some changed."""
    result = copy.deepcopy(dict(base))
    for name, value in changes.items():
        old = result.get(name)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            result[name] = merged(old, value)
        else:
            result[name] = copy.deepcopy(value)
    return result


def with_dotted(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of nested settings with some changed that are named by dotted paths.

    Whether such a setting exists is seen when the settings are built; sections on the way to it are
    made where they are missing.
    """
    result = copy.deepcopy(dict(base))
    for dotted, value in changes.items():
        *sections, last = dotted.split(".")
        place = result
        for name in sections:
            below = place.get(name)
            place[name] = below if isinstance(below, dict) else {}
            place = place[name]
        old = place.get(last)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        place[last] = merged(old, value) if both else copy.deepcopy(value)  # type: ignore[arg-type]
    return result
