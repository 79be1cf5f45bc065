import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saga.errors import UserInputError
from saga.settings.strict_yaml import MAX_BYTES, parse, read_mapping, read_yaml

TEXTS = st.text(st.characters(max_codepoint=0xD7FF, exclude_categories=["Cc", "Zl", "Zp"]))
SCALARS = (
    st.none() | st.booleans() | st.integers() | TEXTS | st.floats(allow_nan=False, width=64)
).filter(lambda value: not isinstance(value, float) or math.isfinite(value))
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3)
)


@given(st.dictionaries(TEXTS, VALUES, max_size=4))
@settings(max_examples=100, deadline=None)
def test_json_is_read_as_json_reads_it(values):
    text = json.dumps(values, ensure_ascii=False)
    assert parse(text) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2e-5", 2e-5),
        ("1.5E3", 1500.0),
        (".5", 0.5),
        ("-3.", -3.0),
        ("010", 10),
        ("-7", -7),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("tRUE", "tRUE"),
        ("null", None),
        ("~", None),
        ("", None),
        ("2024-01-31", "2024-01-31"),
        ("'5'", "5"),
        ("[1, 2.0, a]", [1, 2.0, "a"]),
        ("<<", "<<"),
    ],
)
def test_a_scalar_is_what_the_core_schema_says(text, value):
    read = parse(text)
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize(("text", "value"), [(".inf", math.inf), ("-.INF", -math.inf)])
def test_infinity_is_a_number_that_settings_then_refuse(text, value):
    assert parse(text) == value
    assert math.isnan(parse(".nan"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 2\na: 3", r"the key a is given twice \(line 3, column 1\)"),
        ("a: 1\n'a': 3", "the key a is given twice"),
        ("b: {c: 1, c: 2}", "the key c is given twice"),
        ("a: &x 1\nb: *x", r"the alias \*x: write the values out \(line 2, column 4\)"),
        ("a: !!python/object/apply:os.system [ls]", "the tag .*python/object.*settings need none"),
        ("a: !!str 5", "the tag tag:yaml.org,2002:str"),
        ("a: ! 5", "the tag !"),
        ("1: a", "the key 1 is not text; put it in quotes"),
        ("true: a", "the key true is not text"),
        ("~: a", "the key ~ is not text"),
        ("? \n: a", "the key null is not text"),
        ("? [a, b]\n: 1", "a key must be a plain text"),
        ("a: [1, 2", "expected ',' or ']'"),
        ("a: 1\n---\nb: 2", "another document"),
        ("a: b: c", "mapping values are not allowed here"),
        ("a: '\x00'", "special characters are not allowed"),
        ("\ta: 1", "cannot start any token"),
        ("[" * 700, "nested too deeply"),
        ("{a: " * 700, "nested too deeply"),
        ("9" * 5000, "too many digits"),
    ],
)
def test_what_is_refused_is_told_in_one_line_with_the_place(text, problem):
    with pytest.raises(ValueError, match=problem) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


def test_a_bomb_of_aliases_is_refused_before_it_is_built():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)]
    with pytest.raises(ValueError, match=r"the alias \*a0"):
        parse("\n".join(lines))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty. Write settings as `key: value` lines"),
        (b"# nothing but a comment\n", "is empty"),
        (b"- a\n- b\n", "does not hold a mapping"),
        (b"just text", "does not hold a mapping"),
        (b"\xff\xfea\x00:\x00", "cannot be read as YAML: 'utf-8' codec"),
        (b"a: \xe9", "cannot be read as YAML: 'utf-8' codec"),
        (b"a: [", "cannot be read as YAML"),
        (b"#" * (MAX_BYTES + 1), f"at most {MAX_BYTES} bytes"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused_by_name(tmp_path, content, problem):
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(UserInputError, match=problem) as caught:
        read_mapping(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path):
    for path in (tmp_path / "absent.yaml", tmp_path, Path("/dev/null/x.yaml")):
        with pytest.raises(UserInputError, match=r"Give the path of a YAML file of settings"):
            read_mapping(path)


def test_an_endless_file_is_read_no_further_than_the_limit():
    with pytest.raises(UserInputError, match="at most"):
        read_yaml(Path("/dev/zero"))


def test_a_byte_order_mark_does_not_matter_and_the_limit_itself_is_allowed(tmp_path):
    path = tmp_path / "run.yaml"
    head = b"\xef\xbb\xbfa: 1\n#"
    path.write_bytes(head + b"x" * (MAX_BYTES - len(head)))
    assert read_mapping(path) == {"a": 1}
