"""The comparison prompt of a domain, read from a data file (METHOD section 5; configs/prompts).

The user message of the chat is [image 1, image 2, text]; this module makes the text. It also says
which keys the JSON answer must have, on which saga.supervisors.verdict insists.
"""

import difflib
import json
import os
import re
import reprlib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from string import Template
from typing import Any

from saga.errors import UserInputError
from saga.files import digest_of
from saga.settings.strict_yaml import UniqueKeysLoader, read_yaml

BUNDLED = Path(__file__).parents[2] / "configs" / "prompts"
"""Where the prompts that come with the project are."""

PLACEHOLDERS = ("expert", "item", "verdict_question", "attributes", "form")
DIFFERENCES, CONFIDENCE, REASONING = "differences", "confidence", "reasoning"
CONFIDENCES = ("high", "medium", "low")
VERDICTS = ("yes", "no")


@dataclass(frozen=True)
class Prompt:
    """What the supervisor is asked, and the form of its answer."""

    name: str
    """File name without its ending."""
    domain: str
    """What it is for."""
    item: str
    """One word, as in the keys "{item}_1" and "{item}_2"."""
    verdict_key: str
    """Key of the "yes" or "no"."""
    verdict_question: str
    """What both images must show for a "yes"."""
    template: str
    """The instruction, with placeholders: $expert, $item, $verdict_question, $attributes, $form."""
    expert: str | None = None
    """Role that the supervisor takes."""
    attributes: tuple[str, ...] = ()
    """Visual attributes, described for each image in this order."""
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Attributes that share a query of the attribute pooler; empty gives each its own."""
    answer_keys: tuple[str, ...] = ()
    """Keys of the answer in order; empty takes METHOD section 5's."""
    compact: bool = False
    """Whether the template is the whole text, for a supervisor that knows few words."""

    def __post_init__(self) -> None:
        for name in ("item", "verdict_key"):
            if not re.fullmatch(r"[a-z][a-z_]*", getattr(self, name)):
                raise ValueError(
                    f"{name} must be lower-case letters and _, got {getattr(self, name)!r}"
                )
        self._check_attributes()
        self._check_answer_keys()
        self._check_groups()
        self._check_template()

    @property
    def item_keys(self) -> tuple[str, str]:
        """Keys under which the two images are described."""
        return f"{self.item}_1", f"{self.item}_2"

    @property
    def subjects(self) -> dict[str, tuple[str, ...]]:
        """What an attribute pooler's queries are for, each with the attributes it follows."""
        return self.groups or {name: (name,) for name in self.attributes}

    @property
    def schema_keys(self) -> tuple[str, ...]:
        """Keys of the answer, in the order asked for."""
        full = (*self.item_keys, DIFFERENCES, CONFIDENCE, REASONING, self.verdict_key)
        return self.answer_keys or full

    @property
    def digest(self) -> str:
        """SHA-256 of everything that can change the text or the reading of the answer."""
        return digest_of({k: v for k, v in asdict(self).items() if k not in ("name", "domain")})

    def text(self) -> str:
        """The instruction that follows the two images in the user's message."""
        if self.compact:
            return self.template.strip()
        values = {
            "expert": self.expert or "",
            "item": self.item,
            "verdict_question": self.verdict_question,
            "attributes": ", ".join(f'"{name}"' for name in self.attributes),
            "form": self._form(),
        }
        return Template(self.template).substitute(values).strip()

    def _form(self) -> str:
        """The answer's form, one key a line."""
        described = '{"<attribute>": "<value>", …}'
        forms = dict.fromkeys(self.item_keys, described) | {
            DIFFERENCES: '["<difference>", …]',
            CONFIDENCE: " or ".join(f'"{level}"' for level in CONFIDENCES),
            REASONING: '"<one or two sentences>"',
            self.verdict_key: " or ".join(f'"{verdict}"' for verdict in VERDICTS),
        }
        lines = [f'  "{key}": {forms[key]}' for key in self.schema_keys]
        return "{\n" + ",\n".join(lines) + "\n}"

    def _check_attributes(self) -> None:
        for name in self.attributes:
            # A name that JSON would escape could not be found again by its text.
            if not name.strip() or json.dumps(name, ensure_ascii=False) != f'"{name}"':
                raise ValueError(f"attributes: {name!r} is empty or needs escaping in JSON")
        if len(set(self.attributes)) != len(self.attributes):
            raise ValueError("attributes: each name must be listed once")

    def _check_groups(self) -> None:
        listed = [name for names in self.groups.values() for name in names]
        if self.groups and sorted(listed) != sorted(self.attributes):
            odd = sorted(set(listed) ^ set(self.attributes)) or sorted(
                {name for name in listed if listed.count(name) > 1}
            )
            raise ValueError(
                f"groups must hold every attribute once, and nothing else; see {', '.join(odd)}"
            )

    def _check_answer_keys(self) -> None:
        known = (*self.item_keys, DIFFERENCES, CONFIDENCE, REASONING, self.verdict_key)
        if len(set(known)) != len(known):
            raise ValueError(f"verdict_key {self.verdict_key!r} is also another key of the answer")
        for key in self.schema_keys:
            if key not in known:
                raise ValueError(f"answer_keys: {key!r} is not one of {', '.join(known)}")
        if len(set(self.schema_keys)) != len(self.schema_keys):
            raise ValueError("answer_keys: each key must be listed once")
        if self.verdict_key not in self.schema_keys:
            raise ValueError(f"answer_keys must hold the verdict key {self.verdict_key!r}")
        described = [key in self.schema_keys for key in self.item_keys]
        if described != [bool(self.attributes)] * 2:
            raise ValueError(
                f"answer_keys must hold {' and '.join(self.item_keys)} if, and only if, there are "
                "attributes"
            )

    def _check_template(self) -> None:
        if not self.template.strip():
            raise ValueError("template is empty")
        if self.compact:
            return
        if not Template(self.template).is_valid():
            raise ValueError("template: a lone $; write $$ for the character itself")
        used = Template(self.template).get_identifiers()
        for name in used:
            if name not in PLACEHOLDERS:
                raise ValueError(f"template: ${name} is not a placeholder.{_nearest(name)}")
        needed = {"form": True, "attributes": bool(self.attributes), "expert": bool(self.expert)}
        for name, wanted in needed.items():
            if wanted != (name in used):
                raise ValueError(
                    f"template must {'use' if wanted else 'not use'} ${name}"
                    + ("" if wanted else f", since {name} is not given")
                )


def load_prompt(source: str | Path) -> Prompt:
    """Read a prompt by the name of a bundled one, or from a file.

    Args:
        source: "birds", for instance, or the path of a YAML file.

    Raises:
        UserInputError: if there is no such prompt, or the file is not a valid one.
    """
    path = _locate(source)
    values = _read_mapping(path)
    for name, (kind, what) in _FIELDS.items():
        if name in values and not kind(values[name]):
            raise UserInputError(
                f"{path}: {name} must be {what}, got {reprlib.repr(values[name])}."
            )
    for name in ("attributes", "answer_keys"):
        if name in values:
            values[name] = tuple(values[name])
    if "groups" in values:
        values["groups"] = {name: tuple(names) for name, names in values["groups"].items()}
    try:
        return Prompt(name=path.stem, **values)
    except ValueError as error:
        raise UserInputError(f"{path}: {error}.") from error


def bundled_prompts() -> list[str]:
    """Names of the prompts that come with the project."""
    return sorted(path.stem for path in BUNDLED.glob("*.yaml"))


def _locate(source: str | Path) -> Path:
    bundled = bundled_prompts()
    if str(source) in bundled:
        return BUNDLED / f"{source}.yaml"
    path = Path(os.path.expanduser(source))
    if os.path.isfile(path):
        return path
    close = difflib.get_close_matches(str(source), bundled, 1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise UserInputError(
        f"supervisor.prompt: {source} is neither a bundled prompt ({', '.join(bundled)}) nor a "
        f"file.{hint}"
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_text, value))


def _is_groups(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(_is_text(name) and _is_texts(names) for name, names in value.items())
    )


_TEXT = (_is_text, "text in quotes")
_TEXTS = (_is_texts, "a list of texts with at least one entry")
_FIELDS: dict[str, tuple[Any, str]] = {
    "domain": _TEXT,
    "item": _TEXT,
    "verdict_key": _TEXT,
    "verdict_question": _TEXT,
    "template": _TEXT,
    "expert": _TEXT,
    "attributes": _TEXTS,
    "answer_keys": _TEXTS,
    "groups": (_is_groups, "a mapping from names to lists of attributes"),
    "compact": (lambda value: isinstance(value, bool), "true or false"),
}
_REQUIRED = [f.name for f in fields(Prompt)[1:6]]


def _read_mapping(path: Path) -> dict[str, Any]:
    """The file's top-level mapping, with known keys only."""
    values = read_yaml(path, UniqueKeysLoader)
    if not isinstance(values, dict):
        raise UserInputError(f"{path}: a prompt file is a mapping with the keys {list(_FIELDS)}.")
    for key in values:
        if key not in _FIELDS:
            raise UserInputError(
                f"{path}: {key} is not a key of a prompt.{_nearest(str(key), _FIELDS)}"
            )
    missing = [name for name in _REQUIRED if name not in values]
    if missing:
        raise UserInputError(f"{path}: missing {', '.join(missing)}.")
    return values


def _nearest(name: str, allowed: Any = PLACEHOLDERS) -> str:
    close = difflib.get_close_matches(name, list(allowed), 1)
    return f" Nearest: {close[0]}." if close else f" Allowed: {', '.join(allowed)}."
