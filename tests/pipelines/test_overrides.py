from typing import Any

import pytest

from pipelines.overrides import MAX_DEPTH, apply_override, merged
from saga.settings.typed import Problems


def changed(raw: dict[str, Any], *texts: str) -> dict[str, Any]:
    problems = Problems("")
    for text in texts:
        apply_override(raw, text, problems)
    assert not problems.found
    return raw


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("a=5", {"a": 5, "b": {"c": 1}}),
        (" a = x ", {"a": "x", "b": {"c": 1}}),
        ("a=", {"a": None, "b": {"c": 1}}),
        ("a=x=y", {"a": "x=y", "b": {"c": 1}}),
        ("a=[1, 2e-5]", {"a": [1, 2e-5], "b": {"c": 1}}),
        ("a=yes", {"a": "yes", "b": {"c": 1}}),
        ("b.c=2", {"b": {"c": 2}}),
        ("b.d.e=2", {"b": {"c": 1, "d": {"e": 2}}}),
        ("b={d: 3}", {"b": {"c": 1, "d": 3}}),
        ("b=null", {"b": None}),
        ("b=4", {"b": 4}),
    ],
)
def test_one_value_is_set_and_a_section_is_laid_over_what_is_there(text, result):
    assert changed({"b": {"c": 1}}, text) == result


def test_the_origin_of_every_override_is_kept_shortened():
    problems = Problems("")
    apply_override({}, "a.b=1", problems)
    apply_override({}, "c=" + "x" * 1000, problems)
    assert problems.origins["a.b"] == "--set a.b=1"
    assert problems.origins["c"] == "--set c=" + "x" * 98


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a", "write it as --set name=value"),
        ("", "write it as --set name=value"),
        ("=5", "write it as --set name=value"),
        ("a..b=5", "write it as --set name=value"),
        (".a=5", "write it as --set name=value"),
        ("a=" + "x" * 70_000, "write it as --set name=value"),
        ("a." * 30_000 + "b=1", "write it as --set name=value"),
        ("a." * MAX_DEPTH + "b=1", "write it as --set name=value"),
        ("a=[", "the value cannot be read as YAML: "),
        ("a=!!python/name:os.system", "the value cannot be read as YAML: the tag"),
        ("a={b: 1, b: 2}", "the value cannot be read as YAML: the key b is given twice"),
        ("word.c=1", "word is one value, not a section."),
        ("word.c.d=1", "word is one value, not a section."),
        ("empty.c=1", "empty is one value, not a section."),
    ],
)
def test_what_cannot_be_set_is_noted_and_changes_nothing(text, problem):
    problems, raw = Problems(""), {"word": "x", "empty": None}
    apply_override(raw, text, problems)
    ((_, message),) = problems.found
    assert message.startswith(problem)
    assert raw == {"word": "x", "empty": None}


def test_merging_copies_both_sides():
    base, changes = {"a": {"b": [1]}, "c": 1}, {"a": {"d": [2]}, "c": {"e": 1}}
    result = merged(base, changes)
    assert result == {"a": {"b": [1], "d": [2]}, "c": {"e": 1}}
    result["a"]["b"].append(9)
    result["a"]["d"].append(9)
    assert base == {"a": {"b": [1]}, "c": 1} and changes == {"a": {"d": [2]}, "c": {"e": 1}}
