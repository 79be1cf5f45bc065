"""YAML for settings: one small mapping, read without surprises.

The rules are those of YAML 1.2's core schema, not of PyYAML's default: `2e-5` is a number, `yes`,
`on` and `1:30` are text, dates are text. Repeated keys, aliases, tags and keys that are not text
are refused, and so is a file above 64 KiB. Nothing in it can name code.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from saga.errors import UserInputError

MAX_BYTES = 1 << 16


class _CoreLoader(yaml.SafeLoader):
    """SafeLoader with the core schema's scalars, without aliases and repeated keys."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        problem = None
        if isinstance(event, yaml.AliasEvent):
            problem = f"the alias *{event.anchor}: write the values out"
        elif getattr(event, "tag", None):
            problem = f"the tag {event.tag}: settings need none"
        if problem:
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            problem = None
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                problem = "a key must be plain text"
            elif key.value in seen:
                problem = f"the key {key.value} is given twice"
            if problem:
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
):
    _CoreLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})\\Z"), list(_first)
    )


def _decimal(loader: _CoreLoader, node: yaml.ScalarNode) -> int:
    """In the core schema 010 is ten; PyYAML reads it as octal."""
    return int(node.value)


_CoreLoader.add_constructor("tag:yaml.org,2002:int", _decimal)


def parse(text: str) -> Any:
    """The value of a YAML text.

    Raises:
        ValueError: with a message of one line and, where there is one, the place.
    """
    try:
        # The loader is a SafeLoader.
        return yaml.load(text, _CoreLoader)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise ValueError(f"{error.problem or error.context}{place}") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping that a file holds.

    Raises:
        UserInputError: if it cannot be read, is too large, or is not one mapping.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserInputError(
            f"{path}: {error.strerror or error}. Give the path of a YAML file of settings; "
            "configs/ holds examples."
        ) from error
    if len(data) > MAX_BYTES:
        raise UserInputError(f"{path}: a file of settings has at most {MAX_BYTES} bytes.")
    try:
        values = parse(data.decode("utf-8-sig"))
    except ValueError as error:
        raise UserInputError(f"{path} cannot be read as YAML: {error}.") from error
    if not isinstance(values, dict):
        what = "is empty" if values is None else "does not hold a mapping"
        raise UserInputError(f"{path} {what}. Write settings as `key: value` lines; see configs/.")
    return values
