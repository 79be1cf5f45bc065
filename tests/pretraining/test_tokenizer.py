import json

import numpy as np
import pytest

from saga.data.synthetic.attributes import ATTRIBUTES, COUNTS, values_of
from saga.supervisors.pretraining.tokenizer import (
    IMAGE,
    UNKNOWN,
    answer_text,
    build_tokenizer,
    generic_answer_text,
)
from saga.supervisors.pretraining.train import GENERIC_PROMPT, ITEM, PROMPT, VERDICT_KEY
from saga.supervisors.prompts import load_prompt
from saga.supervisors.verdict import parse_answer


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer((PROMPT, GENERIC_PROMPT), ITEM, VERDICT_KEY, ATTRIBUTES)


def pairs(n: int = 40):
    """Random pairs, every fifth of one class."""
    rng = np.random.default_rng(0)
    for i in range(n):
        a = tuple(int(rng.integers(c)) for c in COUNTS)
        b = a if i % 5 == 0 else tuple(int(rng.integers(c)) for c in COUNTS)
        yield values_of(a), values_of(b)


def test_the_answer_is_the_json_that_the_prompt_asks_for():
    prompt = load_prompt("synthetic_birds")
    for a, b in pairs():
        text = answer_text(ITEM, VERDICT_KEY, a, b)
        assert json.loads(text) == {
            "bird_1": a,
            "bird_2": b,
            "differences": [name for name in a if a[name] != b[name]],
            "same_species": "yes" if a == b else "no",
        }
        parsed = parse_answer(prompt, text)
        assert parsed is not None and parsed.same is (a == b)
        assert (parsed.attributes_a, parsed.attributes_b) == (a, b)


def test_the_generic_answer_is_the_one_its_prompt_asks_for_and_comes_back(tokenizer):
    prompt = load_prompt("synthetic_generic")
    for a, b in pairs():
        text = generic_answer_text(VERDICT_KEY, a, b)
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids) == text
        assert tokenizer.convert_tokens_to_ids(UNKNOWN) not in ids
        parsed = parse_answer(prompt, text)
        assert parsed is not None and parsed.same is (a == b)
        assert parsed.differences == tuple(name for name in a if a[name] != b[name])
        assert parsed.attributes_a == parsed.attributes_b == {}


@pytest.mark.parametrize(
    ("name", "asked"), [("synthetic_birds", PROMPT), ("synthetic_generic", GENERIC_PROMPT)]
)
def test_what_pretraining_asks_is_what_the_prompt_file_says(name, asked):
    prompt = load_prompt(name)
    assert prompt.text() == asked
    assert (prompt.item, prompt.verdict_key) == (ITEM, VERDICT_KEY)


def test_decoding_gives_the_answer_back_letter_by_letter(tokenizer):
    for a, b in pairs():
        text = answer_text(ITEM, VERDICT_KEY, a, b)
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_an_answer_is_short_and_an_attribute_with_its_value_is_one_token(tokenizer):
    unknown = tokenizer.convert_tokens_to_ids(UNKNOWN)
    for a, b in pairs():
        ids = tokenizer(answer_text(ITEM, VERDICT_KEY, a, b))["input_ids"]
        different = sum(a[name] != b[name] for name in a)
        # the two openings, twelve values, "differences", what differs, the verdict
        assert len(ids) == 2 + 2 * len(ATTRIBUTES) + 1 + different + 1
        assert unknown not in ids


@pytest.mark.parametrize("asked", [PROMPT, GENERIC_PROMPT])
def test_a_prompt_is_written_with_two_images_and_known_words(tokenizer, asked):
    content = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": asked}]
    message = [{"role": "user", "content": content}]
    text = tokenizer.apply_chat_template(message, tokenize=False)
    ids = tokenizer(text)["input_ids"]
    assert text.endswith(asked) and tokenizer.decode(ids) == text
    assert ids.count(tokenizer.convert_tokens_to_ids(IMAGE)) == 2
    assert tokenizer.convert_tokens_to_ids(UNKNOWN) not in ids
