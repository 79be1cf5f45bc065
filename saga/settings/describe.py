"""Says in words what a setting is: type, bounds, value, and which name was probably meant.

Bounds live in the dataclasses' own `__post_init__`; they are found by asking it about a few values,
so that each is written down once.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING
from typing import Any, Literal, get_args, get_origin

from saga.settings.schema import Setting, fields_of, join, section_of, settings_of, without_none

NAMES = {int: "an integer", float: "a number", str: "text", bool: "true or false"}
LEAST_TRIED = 128
TINY = 1e-6


def describe(hint: Any) -> str:
    """A type in words."""
    inner = without_none(hint)
    suffix = " or null" if inner is not hint else ""
    if get_origin(inner) is Literal:
        return f"one of {', '.join(map(str, get_args(inner)))}{suffix}"
    if get_origin(inner) is tuple:
        return _describe_tuple(get_args(inner)) + suffix
    if section_of(inner) is not None or get_origin(inner) is dict:
        return f"a section (key: value lines){suffix}"
    return NAMES.get(inner, str(inner)) + suffix


def _describe_tuple(kinds: tuple[Any, ...]) -> str:
    if kinds[-1] is not Ellipsis:
        return f"a list of {len(kinds)} entries, each {describe(kinds[0])}"
    if section_of(kinds[0]) is not None:
        return "a list of sections"
    return f"a list, each entry {describe(kinds[0])}"


def describe_bounded(setting: Setting, beside: Mapping[str, Any]) -> str:
    """A setting's type in words, with its bounds.

    Args:
        setting: the setting.
        beside: the values of its section, as the dataclass takes them.
    """
    inner = without_none(setting.hint)
    if inner not in (int, float):
        return describe(setting.hint)

    def accepts(value: Any) -> bool:
        try:
            setting.owner(**{**beside, setting.name: value})
        except (TypeError, ValueError):
            return False
        return True

    bounds = _integer_bounds(accepts) if inner is int else _number_bounds(accepts)
    return NAMES[inner] + bounds + (" or null" if inner is not setting.hint else "")


def _integer_bounds(accepts: Callable[[Any], bool]) -> str:
    if accepts(-1):
        return ""
    least = next((value for value in range(LEAST_TRIED) if accepts(value)), None)
    return "" if least is None else f" ≥ {least}"


def _number_bounds(accepts: Callable[[Any], bool]) -> str:
    if accepts(-TINY) or not accepts(TINY):
        return ""
    zero = accepts(0.0)
    for top in (1, 2):
        if accepts(top - TINY) and not accepts(top + TINY):
            return f" in {'[' if zero else '('}0, {top}{']' if accepts(float(top)) else ')'}"
    return " ≥ 0" if zero else " > 0"


def unknown_key(
    cls: type, values: Mapping[str, Any], path: str, name: str, root: type | None = None
) -> str:
    """The message about a key that no field has.

    Args:
        cls: dataclass of the section.
        values: the section's values, as the dataclass takes them.
        path: of the section, dotted.
        name: the key.
        root: class of the whole configuration, where the setting may be after all.
    """
    message = f"{join(path, name)} is not a setting."
    names = list(fields_of(cls))
    near = closest(name, names)
    elsewhere = {s.name: s for s in reversed(list(settings_of(root)))} if root else {}
    meant = closest(name, elsewhere)
    if meant and (near is None or _simple(meant) == _simple(name) != _simple(near)):
        found = elsewhere[meant]
        return f"{message} Nearest: {found.path} ({describe_bounded(found, {})})."
    if near is None:
        return f"{message} Allowed{f' in {path}' if path else ''}: {', '.join(names)}."
    return f"{message} Nearest: {join(path, near)} ({_facts(cls, values, near)})."


def _facts(cls: type, values: Mapping[str, Any], name: str) -> str:
    """Type, bounds and value of a setting: "an integer ≥ 2, now 8"."""
    setting = next((s for s in settings_of(cls) if s.path == name), None)
    if setting is None:
        return "a section"
    now = values.get(name, setting.default)
    text = describe_bounded(setting, values)
    return text if now is MISSING else f"{text}, now {plain(now)}"


def plain(value: Any) -> str:
    """A value as one would write it in YAML."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(map(plain, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def closest(name: str, allowed: Iterable[str]) -> str | None:
    """The allowed name that was probably meant; case, - and _ do not count."""
    simple = {_simple(other): other for other in allowed}
    close = difflib.get_close_matches(_simple(name), list(simple), 1)
    return simple[close[0]] if close else None


def _simple(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
