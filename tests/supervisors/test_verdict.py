import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saga.supervisors.prompts import bundled_prompts, load_prompt
from saga.supervisors.verdict import MAX_CHARS, MAX_VALUE_CHARS, ParsedAnswer, parse_answer

PROMPTS = {name: load_prompt(name) for name in bundled_prompts()}
BIRDS = PROMPTS["synthetic_birds"]


def answer(prompt_name: str, verdict: str = "yes") -> dict[str, Any]:
    """A well-formed answer as a dict, keys in order."""
    prompt = PROMPTS[prompt_name]
    values: dict[str, Any] = {
        prompt.item_keys[0]: {a: f"first {i}" for i, a in enumerate(prompt.attributes)},
        prompt.item_keys[1]: {a: f"second {i}" for i, a in enumerate(prompt.attributes)},
        "differences": ["the bill", "the tail"],
        "confidence": "medium",
        "reasoning": "They look alike.",
        prompt.verdict_key: verdict,
    }
    return {key: values[key] for key in prompt.schema_keys}


def parse(value: Any, prompt_name: str = "synthetic_birds") -> ParsedAnswer | None:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return parse_answer(PROMPTS[prompt_name], text)


@pytest.mark.parametrize("verdict", ["yes", "no"])
@pytest.mark.parametrize("name", PROMPTS)
def test_a_well_formed_answer_is_read(name, verdict):
    prompt, wanted = PROMPTS[name], answer(name, verdict)
    read = parse(wanted, name)
    assert read is not None and read.same == (verdict == "yes")
    assert read.attributes_a == wanted.get(prompt.item_keys[0], {})
    assert read.attributes_b == wanted.get(prompt.item_keys[1], {})
    assert read.differences == ("the bill", "the tail")
    assert read.confidence == wanted.get("confidence")
    assert read.reasoning == wanted.get("reasoning")


@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize("name", PROMPTS)
def test_spans_hold_the_values_in_the_order_of_the_attributes(name, indent):
    prompt, text = PROMPTS[name], json.dumps(answer(name), indent=indent)
    read = parse(text, name)
    assert read is not None
    for spans, word in ((read.value_spans_a, "first"), (read.value_spans_b, "second")):
        assert [text[i:j] for i, j in spans] == [
            f"{word} {i}" for i in range(len(prompt.attributes))
        ]
        assert all(text[i - 1] == text[j] == '"' for i, j in spans)
    start, end = read.verdict_span
    assert text[start - 1 : end + 1] == '"yes"' and text[:start].endswith(
        f'{prompt.verdict_key}": "'
    )


def test_the_answers_that_the_embedded_supervisor_learned_are_read():
    tokenizer = pytest.importorskip("saga.supervisors.pretraining.tokenizer")
    a = dict(zip(BIRDS.attributes, ["red", "blue", "green", "bars", "gray", "black"]))
    b = a | {"tail color": "white"}
    for other, same in ((a, True), (b, False)):
        text = tokenizer.answer_text("bird", "same_species", a, other)
        read = parse(text)
        assert read is not None and read.same is same
        assert read.attributes_a == a and read.attributes_b == other
        assert read.differences == (() if same else ("tail color",))
        assert [text[i:j] for i, j in read.value_spans_b] == list(other.values())


def test_spans_follow_the_prompt_when_the_answer_shuffles_its_keys():
    wanted = answer("synthetic_birds")
    shuffled = dict(reversed(wanted.items()))
    shuffled["bird_1"] = dict(reversed(wanted["bird_1"].items()))
    text = json.dumps(shuffled)
    read = parse(text)
    assert read is not None and read.attributes_a == wanted["bird_1"]
    assert [text[i:j] for i, j in read.value_spans_a] == list(wanted["bird_1"].values())


def test_spans_of_equal_escaped_and_foreign_values_are_their_own():
    wanted = answer("synthetic_birds")
    wanted["bird_1"] = dict.fromkeys(BIRDS.attributes, "same_species")
    wanted["bird_1"]["wing color"] = 'dark "blue" \\ gris-vert é 🐦'
    for ascii_only in (False, True):
        text = json.dumps(wanted, ensure_ascii=ascii_only)
        read = parse(text)
        assert read is not None and read.attributes_a == wanted["bird_1"]
        pieces = [text[i:j] for i, j in read.value_spans_a]
        assert [json.loads(f'"{p}"') for p in pieces] == list(wanted["bird_1"].values())
        assert len(set(read.value_spans_a + read.value_spans_b)) == 2 * len(BIRDS.attributes)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        (" \n\t", "\r\n "),
        ("```json\n", "\n```"),
        ("```\n", "\n```\n"),
        ("\n```JSON ", "```"),
        ("```json{", None),
    ],
)
def test_white_space_and_one_code_fence_are_allowed(before, after):
    text = json.dumps(answer("synthetic_birds"))
    text = before[:-1] + text + "```" if after is None else before + text + after
    read = parse(text)
    assert read is not None
    assert [text[i:j] for i, j in read.value_spans_a] == [f"first {i}" for i in range(6)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Here it is: ", ""),
        ("", " That is all."),
        ("```json\n", ""),
        ("", "\n```"),
        ("```json\n", "\n``` ```"),
        ("```json\n```json\n", "\n```\n```"),
        ("```yaml\n", "\n```"),
        ("```jsonx\n", "\n```"),
        ("[", "]"),
        ("\u00a0", ""),
        ("\ufeff", ""),
        ("", ","),
        ("", "{}"),
    ],
)
def test_anything_else_around_the_object_is_refused(before, after):
    assert parse(before + json.dumps(answer("synthetic_birds")) + after) is None


def with_value(value: Any, key: str = "bird_1", attribute: str = "wing color") -> dict[str, Any]:
    changed = answer("synthetic_birds")
    changed[key][attribute] = value
    return changed


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        1.5,
        ["red"],
        {"is": "red"},
        "",
        "  ",
        "x" * (MAX_VALUE_CHARS + 1),
        "a\nb",
        "\x00",
    ],
)
def test_an_attribute_without_a_short_text_value_is_refused(value):
    assert parse(with_value(value)) is None
    assert parse(with_value(value, "bird_2")) is None


def test_the_longest_value_is_accepted():
    assert parse(with_value("x" * MAX_VALUE_CHARS)) is not None


@pytest.mark.parametrize(
    "verdict", ["Yes", "YES", " yes", "yes.", "", "maybe", True, 1, None, ["yes"]]
)
def test_a_verdict_that_is_not_exactly_yes_or_no_is_refused(verdict):
    assert parse(answer("synthetic_birds") | {"same_species": verdict}) is None


@pytest.mark.parametrize("name", PROMPTS)
def test_a_missing_or_extra_key_is_refused(name):
    whole = answer(name)
    for key in whole:
        assert parse({k: v for k, v in whole.items() if k != key}, name) is None
    assert parse(whole | {"note": "x"}, name) is None
    assert parse({}, name) is None


def test_a_missing_or_extra_attribute_is_refused():
    for key in BIRDS.item_keys:
        lacking, more = answer("synthetic_birds"), answer("synthetic_birds")
        del lacking[key]["tail color"]
        more[key]["leg color"] = "red"
        assert parse(lacking) is None and parse(more) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("differences", "the bill"),
        ("differences", [1]),
        ("differences", [["the bill"]]),
        ("differences", {"bill": "red"}),
        ("differences", None),
        ("confidence", "High"),
        ("confidence", "certain"),
        ("confidence", 0.9),
        ("reasoning", ["a"]),
        ("reasoning", None),
        ("bird_1", []),
        ("bird_1", "red"),
        ("bird_2", None),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(key, value):
    assert parse(answer("birds") | {key: value}, "birds") is None


def replaced(old: str, new: str) -> str:
    text = json.dumps(answer("synthetic_birds"))
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    "text",
    [
        replaced('"same_species"', '"same_species": "no", "same_species"'),
        replaced('"same_species"', '"same_species": "yes", "same_species"'),
        replaced('"bill color"', '"bill color": "red", "bill color"'),
        replaced('"bill color"', '"bill\\u0020color": "red", "bill color"'),
        replaced('"first 0"', "NaN"),
        replaced('"first 0"', "Infinity"),
        replaced('"first 0"', "-Infinity"),
        replaced('"first 0"', "first 0"),
        replaced('"first 0"', "'first 0'"),
        replaced('"first 0"', '"first\n0"'),
        replaced('"first 0"', '"first\\x"'),
        replaced('"first 0"', '"first\\ud800"'),
        replaced('"the bill"', '"the \\ud800 bill"'),
        replaced('"first 0"', '"\\u12"'),
        replaced('["the bill", ', '["the bill", , '),
        replaced('["the bill", ', '["the bill" '),
        replaced('"the tail"]', '"the tail",]'),
        replaced('"yes"}', '"yes",}'),
        replaced('"yes"}', '"yes"'),
        replaced('"yes"}', '"yes'),
        replaced('"yes"}', '"yes"}}'),
        replaced('"yes"}', '"yes" // sure\n}'),
        replaced('{"bird_1": {', '{"bird_1" {'),
        replaced('{"bird_1": {', "{bird_1: {"),
        replaced('{"bird_1": {', '{"bird_1": {,'),
    ],
)
def test_malformed_json_is_refused(text):
    assert parse(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        '"',
        "{}",
        "null",
        "yes",
        "```",
        "[" * 100_000,
        '{"bird_1": ' * 1_500,
        '{"differences": ' + "[" * 15_000,
        '{"bird_1": {"bill color": ' + '"x' * 5_000,
        "\\" * 1_000,
        "\x00",
        "\ud800",
        '"\\ud800" \udc00',
    ],
)
@pytest.mark.parametrize("name", PROMPTS)
def test_hostile_text_is_refused_and_raises_nothing(text, name):
    assert parse_answer(PROMPTS[name], text) is None


def test_an_answer_longer_than_the_cap_is_not_looked_at():
    text = json.dumps(answer("synthetic_birds"))
    assert parse(text + " " * (MAX_CHARS - len(text))) is not None
    assert parse(text + " " * (MAX_CHARS - len(text) + 1)) is None


def test_an_answer_cut_off_anywhere_is_refused():
    text = json.dumps(answer("synthetic_birds"))
    assert all(parse(text[:i]) is None for i in range(len(text)))


# Fuzzing ----------------------------------------------------------------------------------------

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(text=st.text(st.characters(), max_size=200))
@settings(max_examples=200, deadline=None)
def test_arbitrary_text_never_raises(text):
    for prompt in PROMPTS.values():
        assert parse_answer(prompt, text) is None


@given(value=JSON_VALUES)
@settings(max_examples=100, deadline=None)
def test_arbitrary_json_never_raises(value):
    assert parse(json.dumps(value)) is None


@given(
    name=st.sampled_from(sorted(PROMPTS)),
    start=st.floats(0, 1),
    length=st.integers(0, 6),
    insert=st.text(st.sampled_from('{}[]",:\\ \nu0d8eyesno`') | st.characters(), max_size=4),
)
@settings(max_examples=400, deadline=None)
def test_a_mutated_answer_is_read_only_if_it_is_json_of_the_form(name, start, length, insert):
    """Against the standard parser: whatever is accepted is that JSON object, key by key."""
    text = json.dumps(answer(name))
    at = round(start * len(text))
    text = text[:at] + insert + text[at + length :]
    read, prompt = parse_answer(PROMPTS[name], text), PROMPTS[name]
    if read is None:
        return
    whole = json.loads(text)
    assert set(whole) == set(prompt.schema_keys)
    assert whole[prompt.verdict_key] == ("yes" if read.same else "no")
    for key, spans in zip(prompt.item_keys, (read.value_spans_a, read.value_spans_b)):
        values = [whole.get(key, {})[a] for a in prompt.attributes]
        assert [json.loads(f'"{text[i:j]}"') for i, j in spans] == values


@given(values=st.lists(st.text(min_size=1, max_size=30), min_size=12, max_size=12))
@settings(max_examples=150, deadline=None)
def test_spans_give_back_any_values(values):
    wanted = answer("synthetic_birds", "no")
    wanted["bird_1"] = dict(zip(BIRDS.attributes, values[:6]))
    wanted["bird_2"] = dict(zip(BIRDS.attributes, values[6:]))
    text = json.dumps(wanted)
    read = parse(text)
    if not all(v.strip() and v.isprintable() for v in values):
        assert read is None
        return
    assert read is not None and [*read.attributes_a.values(), *read.attributes_b.values()] == values
    spans = read.value_spans_a + read.value_spans_b
    assert [json.loads(f'"{text[i:j]}"') for i, j in spans] == values
