"""Builds frozen dataclasses from plain mappings, strictly, and collects every problem on the way.

A key that no field has, a value of another type, a section that its own `__post_init__` refuses:
each is noted under its dotted path and the walk goes on, so that one message can tell them all.
"""

import json
import math
import re
import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from saga.errors import UserInputError
from saga.files import canonical_json
from saga.settings.describe import closest, describe, unknown_key
from saga.settings.schema import (
    entry_of,
    fields_of,
    join,
    mapped_of,
    required,
    section_of,
    within,
    without_none,
)

T = TypeVar("T")


@dataclass
class Problems:
    """What is wrong with one configuration."""

    source: str
    """File that it came from, as the user named it."""
    root: type | None = None
    """Class of the whole configuration."""
    origins: dict[str, str] = field(default_factory=dict)
    """Dotted paths that came from elsewhere, such as "--set a.b=c"."""
    found: list[tuple[str, str]] = field(default_factory=list)
    """Dotted path and message of each."""

    def add(self, path: str, message: str) -> None:
        """Note one."""
        if (path, message) not in self.found:
            self.found.append((path, message))

    def touch(self, *sections: str) -> bool:
        """Whether one of these sections, or something in or around it, has a problem."""
        return any(
            not path or within(path, section) or within(section, path)
            for path, _ in self.found
            for section in sections
        )

    def raise_all(self) -> None:
        """Raise if there is any.

        Raises:
            UserInputError: one message, a line per problem, each with where it came from.
        """
        if self.found:
            raise UserInputError("\n".join(f"{self._origin(p, m)}: {m}" for p, m in self.found))

    def _origin(self, path: str, message: str) -> str:
        """The override that set this path; else the file, with the overrides that take part."""
        for dotted, origin in reversed(self.origins.items()):
            if within(path, dotted):
                return origin
        taking_part = [
            origin
            for dotted, origin in self.origins.items()
            if (path and within(dotted, path)) or _speaks_of(message, dotted)
        ]
        return " ".join([self.source, "with", *taking_part]) if taking_part else self.source


def build(cls: type[T], raw: Mapping[str, Any], problems: Problems, path: str = "") -> T | None:
    """An instance of a dataclass, or None where it cannot be built.

    Args:
        cls: a dataclass; nested ones are its sections.
        raw: plain values by field name.
        problems: collects.
        path: dotted path of this section.
    """
    values, intact = convert_fields(cls, raw, problems, path)
    absent = [n for n, spec in fields_of(cls).items() if n not in values and required(spec)]
    for name in absent:
        if name not in raw:
            problems.add(join(path, name), f"{join(path, name)} is missing.")
    if absent or not intact:
        return None
    try:
        return cls(**values)
    except ValueError as error:
        message = _in_words(cls, path, str(error))
        setting = re.split(r"[ :]", message, maxsplit=1)[0].rstrip(".")
        known = within(setting, path) or setting in fields_of(cls)
        problems.add(setting if known else path, message)
        return None


def plain_values(config: Any) -> dict[str, Any]:
    """A dataclass as it would stand in a file: lists instead of tuples."""
    values: dict[str, Any] = json.loads(canonical_json(asdict(config)))
    return values


def convert_fields(
    cls: type, raw: Mapping[str, Any], problems: Problems, path: str = ""
) -> tuple[dict[str, Any], bool]:
    """The values that fit, and whether this section's own keys and types are all right.

    A section inside it that cannot be built is left out (its default stands in) and does not count.
    """
    hints = get_type_hints(cls)
    values: dict[str, Any] = {}
    known = {name: value for name, value in raw.items() if name in fields_of(cls)}
    wrong = 0
    for name, value in known.items():
        dotted, made = join(path, name), None
        section, entry = section_of(hints[name]), entry_of(hints[name])
        mapped = mapped_of(hints[name])
        if section is not None and isinstance(value, Mapping):
            made = build(section, value, problems, dotted)
        elif entry is not None and isinstance(value, list):
            made = _build_list(entry, value, problems, dotted)
        elif mapped is not None and isinstance(value, Mapping):
            made = _build_mapping(mapped, value, problems, dotted)
        else:
            try:
                values[name] = convert(hints[name], value)
            except TypeError as error:
                problems.add(dotted, f"{dotted} {error}.")
                wrong += 1
        if made is not None:
            values[name] = made
    unknown = [name for name in raw if name not in known]
    for name in unknown:
        problems.add(join(path, name), unknown_key(cls, values, path, name, problems.root))
    return values, not wrong and not unknown


def _build_list(
    cls: Any, entries: list[Any], problems: Problems, path: str
) -> tuple[Any, ...] | None:
    """The sections of a list, or None where one cannot be built."""
    built = []
    for i, entry in enumerate(entries):
        place = f"{path}[{i}]"
        if isinstance(entry, Mapping):
            built.append(build(cls, entry, problems, place))
        else:
            problems.add(place, f"{place} {_mismatch(cls, entry)}.")
            built.append(None)
    return None if None in built else tuple(built)


def _build_mapping(
    cls: Any, entries: Mapping[str, Any], problems: Problems, path: str
) -> dict[str, Any] | None:
    """The sections by name, or None where one cannot be built."""
    built: dict[str, Any] = {}
    for name, entry in entries.items():
        place = join(path, name)
        if isinstance(entry, Mapping):
            built[name] = build(cls, entry, problems, place)
        else:
            problems.add(place, f"{place} {_mismatch(cls, entry)}.")
            built[name] = None
    return None if None in built.values() else built


def convert(hint: Any, value: Any) -> Any:
    """A plain value as the type asks for it.

    Raises:
        TypeError: if it does not fit; the message reads on from the setting's name.
    """
    inner = without_none(hint)
    if value is None and inner is not hint:
        return None
    try:
        return _convert(inner, value)
    except TypeError as error:
        if error.args:
            raise
        raise TypeError(_mismatch(hint, value)) from None


def _convert(hint: Any, value: Any) -> Any:
    """As `convert` for a type that does not take null; a TypeError may be without words."""
    origin = get_origin(hint)
    if hint is Any:
        return value
    if origin is Literal:
        if any(value == choice and type(value) is type(choice) for choice in get_args(hint)):
            return value
    elif hint is float and type(value) in (int, float):
        return _finite(value)
    elif hint in (int, str, bool) and type(value) is hint:
        return value
    elif origin is tuple and isinstance(value, list):
        return _convert_tuple(get_args(hint), value)
    elif origin is dict and isinstance(value, dict):
        return {name: convert(get_args(hint)[1], entry) for name, entry in value.items()}
    raise TypeError


def _finite(value: int | float) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise TypeError(f"must be a finite number, got {reprlib.repr(value)}")
    return number


def _convert_tuple(kinds: tuple[Any, ...], value: list[Any]) -> tuple[Any, ...]:
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise TypeError
    return tuple(convert(kind, entry) for kind, entry in zip(kinds, value))


def _mismatch(hint: Any, value: Any) -> str:
    given = f"{reprlib.repr(value)} ({_kind(value)})" if value is not None else "null"
    message = f"must be {describe(hint)}; got {given}"
    inner = without_none(hint)
    if get_origin(inner) is Literal and isinstance(value, str):
        near = closest(value, map(str, get_args(inner)))
        return f"{message}. Nearest: {near}" if near else message
    if inner is str and isinstance(value, (bool, int, float)):
        return f"{message}; put it in quotes"
    return message


def _kind(value: Any) -> str:
    names = {bool: "true or false", int: "an integer", float: "a number", str: "text"}
    return names.get(type(value), "a list" if isinstance(value, list) else "a section")


def _in_words(cls: type, path: str, message: str) -> str:
    """A `__post_init__` message with the whole name of the setting that it speaks of."""
    message = message.rstrip(".")
    parent, _, own = path.rpartition(".")
    if not path:
        return f"{message}."
    if message.startswith((f"{own}.", f"{own}:", f"{own} ")):
        return f"{join(parent, message)}."
    first = message.replace(":", " ").split(" ", 1)[0]
    return f"{path}{'.' if first in fields_of(cls) else ': '}{message}."


def _speaks_of(message: str, dotted: str) -> bool:
    """Whether a message names this setting in full; a single word may mean anything."""
    return (
        "." in dotted
        and re.search(rf"(?<![\w.]){re.escape(dotted)}(?![\w.]*\w)", message) is not None
    )
