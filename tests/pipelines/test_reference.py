from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_type_hints

import pytest

from pipelines.configuration import RunConfig
from pipelines.reference import BEGIN, END, rewritten, tables

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_lists_the_settings_as_they_are():
    page = PAGE.read_text()
    assert rewritten(page) == page, "run `make docs`"


def paths_of(cls: type, path: str = "") -> set[str]:
    """Every setting, read off the dataclasses in another way."""
    found = set()
    for spec in fields(cls):
        hint = get_type_hints(cls)[spec.name]
        if is_dataclass(hint) and spec.name not in ("baseline", "baseline_encoder"):
            found |= paths_of(hint, f"{path}{spec.name}.")
        elif not is_dataclass(hint):
            found.add(f"{path}{spec.name}")
    return found


def test_every_setting_is_listed_once_and_none_is_without_a_word():
    rows = [line.split(" | ") for line in tables().splitlines() if line.startswith("| `")]
    names = [row[0].strip("| `") for row in rows]
    assert len(names) == len(set(names)) and set(names) == paths_of(RunConfig)
    assert [row[0] for row in rows if len(row[3].strip(" |")) < 5] == []


def test_what_stands_around_the_list_is_kept():
    page = rewritten(f"before {BEGIN} old {END} after")
    assert page.startswith(f"before {BEGIN}\n\n### The run") and page.endswith(f"{END} after")
    assert " old " not in page


def test_a_page_without_the_markers_is_refused():
    for page in ("nothing", BEGIN, END, f"{END}{BEGIN}"):
        with pytest.raises(ValueError, match="must hold"):
            rewritten(page)
