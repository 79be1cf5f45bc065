"""Builds a gate from plain values, strictly: no unknown key, no other type, no guessing."""

import difflib
import math
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from saga.errors import UserInputError

T = TypeVar("T")
NAMES = {float: "a number", int: "an integer", str: "text", bool: "true or false"}


def build_settings(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """An instance of a dataclass of numbers, texts and choices.

    Args:
        cls: the dataclass.
        values: its settings by name.
        where: what messages begin with, such as "policy.yaml: gates[0]".

    Raises:
        UserInputError: naming the setting, what it may be, and for an unknown one the nearest.
    """
    types, specs = get_type_hints(cls), fields(cls)  # type: ignore[arg-type]
    known = [spec.name for spec in specs]
    for key in values:
        if key not in known:
            raise UserInputError(unknown_key(where, key, known))
    for spec in specs:
        if spec.name not in values and spec.default is MISSING:
            raise UserInputError(f"{where}.{spec.name} is missing: {_allowed(types[spec.name])}.")
    given = {k: _typed(v, types[k], f"{where}.{k}") for k, v in values.items()}
    try:
        return cls(**given)
    except ValueError as error:
        raise UserInputError(f"{where}.{error}.") from error


def unknown_key(where: str, key: Any, known: list[str]) -> str:
    """The message for a key that is no setting."""
    near = difflib.get_close_matches(str(key), known, 1, cutoff=0.5)
    hint = f"Nearest: {near[0]}" if near else f"Allowed: {', '.join(known)}"
    return f"{where}.{key} is not a setting. {hint}."


def _typed(value: Any, wanted: Any, where: str) -> Any:
    """The value, if it has the wanted type; an integer is a number too."""
    if get_origin(wanted) is Literal:
        if value in get_args(wanted) and isinstance(value, str):
            return value
    elif wanted is float and type(value) in (int, float):
        if math.isfinite(value):
            return float(value)
    elif type(value) is wanted:
        return value
    raise UserInputError(f"{where} must be {_allowed(wanted)}, got {value!r}.")


def _allowed(wanted: Any) -> str:
    if get_origin(wanted) is Literal:
        return f"one of {', '.join(get_args(wanted))}"
    return NAMES[wanted]
