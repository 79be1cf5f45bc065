"""Writes the list of settings into docs/configuration.md, from the dataclasses themselves.

python -m pipelines.reference docs/configuration.md
"""

import sys
from collections.abc import Iterator
from dataclasses import MISSING
from pathlib import Path
from typing import Any, get_type_hints

from pipelines.configuration import RunConfig
from saga.files import write_text
from saga.settings.describe import describe_bounded, plain
from saga.settings.schema import (
    Setting,
    documentation,
    fields_of,
    join,
    section_of,
    settings_of,
)

BEGIN, END = "<!-- settings: written by make docs -->", "<!-- settings: end -->"
CHANGES = ("baseline", "baseline_encoder")
"""Sections that change another one; listing their settings would only repeat it."""
BUILDABLE: dict[str, Any] = {"steps": 1}
"""Values without which some section cannot be built, and its bounds not be found."""


def tables() -> str:
    """Markdown: a table of settings for each section."""
    parts = [_table("The run", "", list(_own_settings(RunConfig)), RunConfig)]
    parts += [_table(f"`{path}`", path, own, cls) for path, own, cls in _sections(RunConfig, "")]
    return "\n\n".join(parts)


def _own_settings(cls: Any) -> Iterator[Setting]:
    return (setting for setting in settings_of(cls) if "." not in setting.path)


def _sections(cls: Any, path: str) -> Iterator[tuple[str, list[Setting], Any]]:
    """Every section below a class, outermost first."""
    hints = get_type_hints(cls)
    for name in fields_of(cls):
        section = section_of(hints[name])
        if section is not None and name not in CHANGES:
            yield join(path, name), list(_own_settings(section)), section
            yield from _sections(section, join(path, name))


def _table(title: str, path: str, settings: list[Setting], cls: Any) -> str:
    texts = documentation(cls)
    rows = [
        f"| `{join(path, s.path)}` | {_type(s)} | {_default(s)} | {_cell(texts.get(s.name, ''))} |"
        for s in settings
    ]
    head = ["| setting | type | default | |", "|---|---|---|---|"]
    return "\n".join([f"### {title}", "", (cls.__doc__ or "").splitlines()[0], "", *head, *rows])


def _type(setting: Setting) -> str:
    known = {k: v for k, v in BUILDABLE.items() if k in fields_of(setting.owner)}
    alone, beside = describe_bounded(setting, {}), describe_bounded(setting, known)
    return _cell(max(alone, beside, key=len))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _default(setting: Setting) -> str:
    if setting.default is MISSING:
        return "required"
    return f"`{plain(setting.default)}`"


def rewritten(page: str) -> str:
    """The page with its list of settings as it is now.

    Raises:
        ValueError: if the page lacks the two markers.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page must hold {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


if __name__ == "__main__":
    target = Path(sys.argv[1])
    write_text(target, rewritten(target.read_text()))
