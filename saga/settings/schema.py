"""The settings of a configuration class, read off its dataclass fields."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a configuration class."""

    path: str
    """Dotted, from the class that was asked."""
    owner: type
    """Dataclass that has the field."""
    name: str
    """Of the field."""
    hint: Any
    """Its type."""
    default: Any
    """MISSING where it has none."""


def settings_of(cls: Any, path: str = "") -> Iterator[Setting]:
    """Every setting below a configuration class, in the order of its fields."""
    hints = get_type_hints(cls)
    for name, spec in fields_of(cls).items():
        section = section_of(hints[name])
        if section is not None:
            yield from settings_of(section, join(path, name))
        else:
            yield Setting(join(path, name), cls, name, hints[name], default_of(spec))


def fields_of(cls: Any) -> "dict[str, Field[Any]]":
    """Fields by name."""
    return {spec.name: spec for spec in fields(cls)}


def default_of(spec: "Field[Any]") -> Any:
    """A field's default, MISSING where it has none."""
    return spec.default_factory() if spec.default_factory is not MISSING else spec.default


def required(spec: "Field[Any]") -> bool:
    """Whether a field has no default."""
    return spec.default is MISSING and spec.default_factory is MISSING


def without_none(hint: Any) -> Any:
    """X of X | None; anything else as it is."""
    if get_origin(hint) in (Union, UnionType):
        kinds = [kind for kind in get_args(hint) if kind is not NoneType]
        assert len(kinds) == 1, f"a setting's type is one type, or that or null: {hint}"
        return kinds[0]
    return hint


def section_of(hint: Any) -> Any:
    """The dataclass that a field holds, or None."""
    inner = without_none(hint)
    return inner if is_dataclass(inner) else None


def entry_of(hint: Any) -> Any:
    """The dataclass whose instances a field lists, or None."""
    inner = without_none(hint)
    kinds = get_args(inner)
    listed = get_origin(inner) is tuple and len(kinds) == 2 and kinds[1] is Ellipsis
    return section_of(kinds[0]) if listed else None


def mapped_of(hint: Any) -> Any:
    """The dataclass whose instances a field holds by name, or None."""
    inner = without_none(hint)
    return section_of(get_args(inner)[1]) if get_origin(inner) is dict else None


def join(path: str, name: str) -> str:
    """A dotted path."""
    return f"{path}.{name}" if path else name


def within(path: str, section: str) -> bool:
    """Whether a dotted path is this section, or of something in it."""
    return path == section or path.startswith((f"{section}.", f"{section}["))


def documentation(cls: type) -> dict[str, str]:
    """The text under each field of a dataclass."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(tree, ast.ClassDef)
    texts: dict[str, str] = {}
    for statement, following in zip(tree.body, tree.body[1:]):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            value = getattr(following, "value", None)
            if isinstance(following, ast.Expr) and isinstance(value, ast.Constant):
                texts[statement.target.id] = " ".join(str(value.value).split())
    return texts
