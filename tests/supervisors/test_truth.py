"""True answers, as the oracle teaches them."""

import json

import pandas as pd
import pytest
from transformers import AutoTokenizer

from saga.errors import UserInputError
from saga.supervisors.pretraining.tokenizer import answer_text, generic_answer_text
from saga.supervisors.prompts import load_prompt
from saga.supervisors.source import EMBEDDED
from saga.supervisors.truth import (
    attribute_values,
    description_accuracy,
    known_values,
    true_answer,
    true_completions,
)
from saga.supervisors.verdict import parse_answer

A = dict(
    zip(load_prompt("synthetic_birds").attributes, ("red", "red", "blue", "bars", "pink", "black"))
)
B = A | {"wing color": "gray", "tail color": "white"}


def test_the_true_answer_is_the_one_that_the_supervisor_was_pretrained_on():
    birds, generic = load_prompt("synthetic_birds"), load_prompt("synthetic_generic")
    for pair in ((A, B), (A, A)):
        assert true_answer(birds, *pair) == answer_text("bird", "same_species", *pair)
        assert true_answer(generic, *pair) == generic_answer_text("same_species", *pair)


@pytest.mark.parametrize("pair, same", [((A, B), False), ((B, B), True)])
def test_the_true_answer_parses_to_the_true_verdict(pair, same):
    prompt = load_prompt("synthetic_birds")
    assert parse_answer(prompt, true_answer(prompt, *pair)).same is same


def test_true_completions_end_once_and_decode_to_the_answer():
    tokenizer, prompt = AutoTokenizer.from_pretrained(EMBEDDED), load_prompt("synthetic_birds")
    found = true_completions(tokenizer, prompt, [(A, B), (A, A)])
    assert found.tokens_PGT.shape[:2] == (2, 1) and found.ended_PG.all()
    for pair, row, length in zip([(A, B), (A, A)], found.tokens_PGT[:, 0], found.lengths_PG[:, 0]):
        assert row[length - 1] == tokenizer.eos_token_id
        assert tokenizer.decode(row[: length - 1]) == true_answer(prompt, *pair)


def test_a_prompt_that_asks_for_more_has_no_true_answer():
    prompt = load_prompt("cars")
    values = dict.fromkeys(prompt.attributes, "x")
    with pytest.raises(UserInputError, match="also asks for confidence, reasoning"):
        true_answer(prompt, values, values)


def test_images_without_attributes_are_counted():
    frame = pd.DataFrame({"attributes": [None, '{"a": "b"}', None]})
    with pytest.raises(UserInputError, match="2 of 3 have none"):
        attribute_values(frame)
    assert attribute_values(frame.iloc[1:2]) == [{"a": "b"}]


def answered(first, second):
    prompt = load_prompt("synthetic_birds")
    return parse_answer(prompt, true_answer(prompt, first, second))


def test_accuracy_counts_both_images_of_every_answer_that_was_read():
    answers = [[answered(A, B), None], [answered(B, B), answered(A, B)]]
    found = description_accuracy(answers, [(A, B), (A, B)])
    assert found == dict.fromkeys(A, 1.0) | {"wing color": 5 / 6, "tail color": 5 / 6}


def test_accuracy_of_nothing_read_is_nothing():
    assert description_accuracy([[None, None]], [(A, B)]) == {}


def test_true_values_are_known_only_where_every_row_has_every_attribute():
    prompt = load_prompt("synthetic_birds")
    rows = pd.DataFrame({"attributes": [json.dumps(A), json.dumps(B)]})
    assert known_values(rows, prompt) == [A, B]
    for other in (None, json.dumps({"wing color": "gray"})):
        assert known_values(pd.DataFrame({"attributes": [json.dumps(A), other]}), prompt) == []
