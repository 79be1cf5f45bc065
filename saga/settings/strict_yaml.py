"""YAML for settings: one small file, read without surprises.

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


class UniqueKeysLoader(yaml.SafeLoader):
    """SafeLoader without repeated keys, of which it silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping, each of whose keys stands once."""
        seen: set[str] = set()
        for key, _ in node.value:
            problem = self.key_problem(key)
            if problem is None and key.value in seen:
                problem = f"the key {key.value} is given twice"
            if problem:
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def key_problem(self, key: yaml.Node) -> str | None:
        """Why this cannot be a key, or None."""
        return None if isinstance(key, yaml.ScalarNode) else "a key must be a plain text"


class CoreLoader(UniqueKeysLoader):
    """The core schema's scalars, without aliases and tags."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """The next node, which is neither an alias nor tagged."""
        event = self.peek_event()
        problem = None
        if isinstance(event, yaml.AliasEvent):
            problem = f"the alias *{event.anchor}: write the values out"
        elif getattr(event, "tag", None):
            problem = f"the tag {event.tag}: settings need none"
        if problem:
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        return super().compose_node(parent, index)

    def key_problem(self, key: yaml.Node) -> str | None:
        """A key is text, also where a bare word would be something else."""
        problem = super().key_problem(key)
        if problem is None and key.tag != "tag:yaml.org,2002:str":
            problem = f"the key {key.value or 'null'} is not text; put it in quotes"
        return problem


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
    CoreLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})\\Z"), list(_first)
    )


def _decimal(loader: CoreLoader, node: yaml.ScalarNode) -> int:
    """In the core schema 010 is ten; PyYAML reads it as octal."""
    try:
        return int(node.value)
    except ValueError:  # more digits than Python converts
        problem = "a number with too many digits"
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None


CoreLoader.add_constructor("tag:yaml.org,2002:int", _decimal)


def parse(text: str, loader: type[yaml.SafeLoader] = CoreLoader) -> Any:
    """The value of a YAML text.

    Args:
        text: one document.
        loader: its dialect.

    Raises:
        ValueError: with a message of one line and, where there is one, the place.
    """
    try:
        # The loader is a SafeLoader.
        return yaml.load(text, loader)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise ValueError(f"{error.problem or error.context}{place}") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except (yaml.YAMLError, LookupError, TypeError) as error:
        # PyYAML's own loader raises the latter two for values that are not of their tag.
        raise ValueError(" ".join(str(error).split())) from error


def read_yaml(path: Path, loader: type[yaml.SafeLoader] = CoreLoader) -> Any:
    """The value that a file holds.

    Raises:
        UserInputError: if it cannot be read or is too large.
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
        return parse(data.decode("utf-8-sig"), loader)
    except ValueError as error:
        raise UserInputError(f"{path} cannot be read as YAML: {error}.") from error


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping that a file holds.

    Raises:
        UserInputError: if it cannot be read, is too large, or is not one mapping.
    """
    values = read_yaml(path)
    if not isinstance(values, dict):
        what = "is empty" if values is None else "does not hold a mapping"
        raise UserInputError(f"{path} {what}. Write settings as `key: value` lines; see configs/.")
    return values
